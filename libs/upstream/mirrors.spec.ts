import { type FakeUpstream, startFakeUpstream } from '../../test/support/upstream/index.js';
import { createUpstream, type RegistryOptions } from './adapters.js';
import type { Upstream } from './port.js';

describe('mirrors', () => {
  let origin: FakeUpstream;
  let mirror: FakeUpstream;
  let upstream: Upstream;
  const start = async (resolve: boolean, more: readonly RegistryOptions[] = [], prefix = '') => {
    origin = await startFakeUpstream();
    mirror = await startFakeUpstream();
    const mirrors = [{ url: `${mirror.url}${prefix}`, resolve }];
    upstream = createUpstream({ registries: [{ name: origin.host, scheme: 'http', mirrors }, ...more] });
  };
  afterEach(async () => {
    await upstream.close();
    await Promise.all([origin.stop(), mirror.stop()]);
  });
  const repository = () => ({ upstream: origin.host, path: 'a/b' });
  const get = (reference: string) => upstream.getManifest(repository(), reference);
  const blob = async (digest: string) => {
    const parts: Buffer[] = [];
    const { body } = await upstream.getBlob(repository(), digest as `sha256:${string}`);
    for await (const part of body) parts.push(part);
    return Buffer.concat(parts);
  };

  it('are asked first for digests, and told whose content is meant', async () => {
    await start(false);
    const { root, images } = mirror.addImage({ repository: 'a/b' });
    expect((await get(root.digest)).digest).toBe(root.digest);
    const { digest, size } = images[0]!.layers[0]!;
    expect((await blob(digest)).length).toBe(size);
    expect(origin.requests.length).toBe(0);
    expect(mirror.requests.filter({})[0]!.query.get('ns')).toBe(origin.host);
  });

  it('say what a tag names only when they are trusted to resolve', async () => {
    await start(false);
    const theirs = mirror.addImage({ repository: 'a/b', seed: 1 });
    const own = origin.addImage({ repository: 'a/b', seed: 2 });
    expect((await get('latest')).digest).toBe(own.root.digest);
    expect(mirror.requests.length).toBe(0);
    await upstream.close();
    upstream = createUpstream({
      registries: [{ name: origin.host, scheme: 'http', mirrors: [{ url: mirror.url, resolve: true }] }],
    });
    expect((await get('latest')).digest).toBe(theirs.root.digest);
    expect((await upstream.headManifest(repository(), 'latest')).digest).toBe(theirs.root.digest);
  });

  it.each([
    ['has it not', {}],
    ['is down', { reset: true }],
    ['fails', { status: 500 }],
    ['denies', { status: 403 }],
    ['is rate limiting', { status: 429 }],
    ['shows a web page', { html: true }],
    ['sends other bytes', { path: /manifests/, body: '{"schemaVersion":2,"layers":[]}', status: 200 }],
  ])('are passed over when one %s', async (_, fault) => {
    await start(true);
    const { root } = origin.addImage({ repository: 'a/b' });
    if (Object.keys(fault).length > 0) mirror.faults.add(fault);
    expect((await get(root.digest)).digest).toBe(root.digest);
  });

  it('have a breaker of their own: one that is down is not asked any more', async () => {
    await start(true);
    const { root } = origin.addImage({ repository: 'a/b' });
    mirror.faults.add({ status: 500 });
    for (let i = 0; i < 8; i++) expect((await get('latest')).digest).toBe(root.digest);
    expect(mirror.requests.length).toBe(5);
    expect(upstream.states().find((state) => state.upstream === mirror.host)).toMatchObject({
      failingUntil: expect.any(Number),
    });
  });

  it('are passed over for a blob of which they have given a body that was of no use', async () => {
    await start(false);
    const good = origin.addBlob('a/b', { size: 5000, seed: 1 });
    mirror.addBlob('a/b', good);
    mirror.faults.add({ path: /blobs/, flip: 10 });
    const first = await blob(good.digest);
    const second = await blob(good.digest);
    expect(first.equals(second)).toBe(false);
    expect([mirror.requests.length, origin.requests.length]).toEqual([1, 1]);
  });

  it('get their own credentials and nobody else their', async () => {
    origin = await startFakeUpstream({ auth: { scheme: 'basic', user: 'o', password: 'origin-secret' } });
    mirror = await startFakeUpstream({ auth: { scheme: 'bearer', user: 'm', password: 'mirror-secret' } });
    upstream = createUpstream({
      registries: [
        {
          name: origin.host,
          scheme: 'http',
          auth: { user: 'o', password: 'origin-secret' },
          mirrors: [{ url: `${mirror.url}/hub` }],
        },
        { name: mirror.host, scheme: 'http', auth: { user: 'm', password: 'mirror-secret' } },
      ],
    });
    const { root } = mirror.addImage({ repository: 'hub/a/b' });
    expect((await get(root.digest)).digest).toBe(root.digest);
    expect(mirror.requests.filter({ path: /token/ })[0]!.query.getAll('scope')).toEqual(['repository:hub/a/b:pull']);
    expect(origin.requests.length).toBe(0);
  });
});
