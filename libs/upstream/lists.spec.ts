import { OCI_INDEX } from '#oci';
import { type FakeUpstream, made, startFakeUpstream } from '../../test/support/upstream/index.js';
import { createUpstream } from './adapters.js';
import type { Upstream } from './port.js';

let fake: FakeUpstream;
let upstream: Upstream;
beforeEach(async () => {
  fake = await startFakeUpstream();
  upstream = createUpstream({ registries: [{ name: fake.host, scheme: 'http' }] });
});
afterEach(async () => {
  await upstream.close();
  await fake.stop();
});

const repository = () => ({ upstream: fake.host, path: 'a/b' });
const tags = async () => (await upstream.listTags(repository())).sort();
const subject = `sha256:${'1'.repeat(64)}` as const;
const referrers = () => upstream.listReferrers(repository(), subject);
const signature = (n: number) =>
  made('application/vnd.oci.image.manifest.v1+json', {
    schemaVersion: 2,
    config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: subject, size: 2 },
    layers: [],
    subject: { mediaType: OCI_INDEX, digest: subject, size: 1 },
    artifactType: 'application/signature',
    annotations: { n: String(n) },
  });

describe('listTags', () => {
  it('reads page after page', async () => {
    const { root } = fake.addImage({ repository: 'a/b', tag: 'v0' });
    for (let n = 1; n < 2500; n++) fake.content.tag('a/b', `v${n}`, root.digest);
    expect(await tags()).toEqual(Array.from({ length: 2500 }, (_, n) => `v${n}`).sort());
    expect([...fake.requests].map(({ query }) => query.get('n'))).toEqual(['1000', '1000', '1000']);
  });

  it('B37: takes only last and n of the link, wherever it leads', async () => {
    fake.addImage({ repository: 'a/b', tag: 'v0' });
    const link = '<http://169.254.169.254/elsewhere?last=a%26n%3D7&n=5&evil=1>; rel="next"';
    fake.faults.add({ path: /tags/, times: 1, status: 200, headers: { link }, body: '{"tags":["a"]}' });
    expect(await tags()).toEqual(['a', 'v0']);
    const [, second] = fake.requests;
    expect([second!.path, [...second!.query]]).toEqual([
      '/v2/a/b/tags/list',
      [
        ['n', '5'],
        ['last', 'a&n=7'],
      ],
    ]);
  });

  it('goes on at the end of a page whose link names no last, and stops at a link that leads nowhere new', async () => {
    const link = '</v2/a/b/tags/list?next_page=x>; rel="next"';
    fake.faults.add({ path: /tags/, times: 2, status: 200, headers: { link }, body: '{"tags":["a","b"]}' });
    expect(await tags()).toEqual(['a', 'b']);
    expect([...fake.requests].map(({ query }) => query.get('last'))).toEqual([null, 'b']);
  });

  it('asks without a page size where the registry refuses it', async () => {
    fake.addImage({ repository: 'a/b', tag: 'v0' });
    fake.faults.add({ path: /tags/, times: 1, status: 400 });
    expect(await tags()).toEqual(['v0']);
    expect([...fake.requests].map(({ query }) => query.get('n'))).toEqual(['1000', null]);
  });

  it.each([
    ['A105: unknown', { status: 404 }, 'NAME_UNKNOWN'],
    ['refused', { status: 403 }, 'DENIED'],
    ['limited', { status: 429 }, 'RATE_LIMITED'],
    ['broken', { status: 500 }, 'UPSTREAM_ERROR'],
    ['B40: a web page', { html: true }, 'UPSTREAM_CONTENT'],
  ])('rejects: %s', async (_, fault, reason) => {
    fake.faults.add({ path: /tags/, ...fault });
    await expect(tags()).rejects.toMatchObject({ reason, origin: 'upstream' });
  });

  it('A99: null is no tag', async () => {
    fake.faults.add({ path: /tags/, status: 200, body: '{"name":"a/b","tags":null}' });
    expect(await tags()).toEqual([]);
  });
});

describe('listReferrers', () => {
  it('A109: gives the descriptors of the API', async () => {
    for (const n of [1, 2]) fake.content.addManifest('a/b', signature(n));
    const found = await referrers();
    expect(found.map(({ digest }) => digest).sort()).toEqual([signature(1).digest, signature(2).digest].sort());
    expect(found[0]).toMatchObject({ artifactType: 'application/signature', annotations: { n: '1' } });
  });

  it('A110: reads page after page, of its own path only', async () => {
    fake.content.addManifest('a/b', signature(1));
    const first = { mediaType: 'application/a', digest: subject, size: 1 };
    const link = `<http://169.254.169.254/v2/x?nextToken=a%2Fb>; rel="next"`;
    const body = JSON.stringify({ mediaType: OCI_INDEX, manifests: [first] });
    fake.faults.add({ path: /referrers/, times: 1, status: 200, headers: { link, 'content-type': OCI_INDEX }, body });
    expect((await referrers()).map(({ digest }) => digest)).toEqual([subject, signature(1).digest]);
    const [, second] = fake.requests;
    expect([second!.path, [...second!.query]]).toEqual([`/v2/a/b/referrers/${subject}`, [['nextToken', 'a/b']]]);
  });

  describe.each([404, 400, 406, 405])('A111, B38: without the API (%d)', (status) => {
    beforeEach(() => void fake.faults.add({ path: /referrers/, status }));

    it('takes the index that the tag names, and remembers the missing API', async () => {
      const descriptor = { mediaType: 'application/a', digest: subject, size: 3, artifactType: 'application/b' };
      const index = made(OCI_INDEX, { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [descriptor] });
      fake.content.addManifest('a/b', index, subject.replace(':', '-'));
      expect(await referrers()).toEqual([descriptor]);
      expect(await referrers()).toEqual([descriptor]);
      expect(fake.requests.gets(/referrers/)).toBe(1);
    });

    it('A112: an image under that tag is no list', async () => {
      fake.content.addManifest('a/b', signature(1), subject.replace(':', '-'));
      expect(await referrers()).toEqual([]);
    });

    it('is empty without the tag, and without the repository', async () => {
      expect(await referrers()).toEqual([]);
      fake.addImage({ repository: 'a/b' });
      expect(await referrers()).toEqual([]);
    });
  });

  it('an unknown repository is no sign of a missing API', async () => {
    expect(await referrers()).toEqual([]);
    fake.content.addManifest('a/b', signature(1));
    expect((await referrers()).map(({ digest }) => digest)).toEqual([signature(1).digest]);
  });

  it.each([
    ['refused', { status: 403 }, 'DENIED'],
    ['broken', { status: 500 }, 'UPSTREAM_ERROR'],
    ['B40: a web page', { html: true }, 'UPSTREAM_CONTENT'],
    ['no index', { status: 200, body: '{"tags":[]}' }, 'UPSTREAM_CONTENT'],
  ])('rejects: %s', async (_, fault, reason) => {
    fake.faults.add({ path: /referrers/, ...fault });
    await expect(referrers()).rejects.toMatchObject({ reason, origin: 'upstream' });
  });
});
