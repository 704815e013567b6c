import { type Answer, get } from '../support/client.js';
import { eventually } from '../support/eventually.js';
import { type Installation, install, stacks } from '../support/servers.js';
import { type FakeUpstream, type Fault, startFakeUpstream } from '../support/upstream/index.js';

jest.setTimeout(240_000);

const errorOf = (answer: Answer) => JSON.parse(answer.body.toString()).errors[0].code;
const UNRESOLVED = 'registry.invalid';
const digestOf = ({ headers }: Answer) => headers['docker-content-digest'];

describe.each(stacks())('tags on the %s stack', (name) => {
  let upstream: FakeUpstream;
  let system: Installation;

  beforeAll(async () => {
    upstream = await startFakeUpstream();
    const rule = (repository: string, more: object) => ({ match: `${upstream.host}/${repository}/**:*`, ...more });
    system = await install(name, [], {
      registries: [
        { name: upstream.host, scheme: 'http' },
        // Has no address (RFC 6761); its images came from a mirror.
        { name: UNRESOLVED, mirrors: [{ url: upstream.url, resolve: true }] },
      ],
      tags: {
        rules: [
          rule('stale', { fresh: '0s', stale: '1h' }),
          { match: `${UNRESOLVED}/stale/**:*`, fresh: '0s', stale: '1h' },
          rule('expired', { fresh: '0s', stale: '0s' }),
          rule('short', { fresh: '0s', stale: '2s' }),
          rule('pinned', { pin: true }),
          rule('always', { alwaysPull: true }),
        ],
      },
      alwaysPullLatest: true,
      // So that every request that the upstream sees is one that a client's pull made.
      prefetch: { enabled: false },
    });
  });
  afterAll(async () => {
    await system?.stop();
    await upstream?.stop();
  });
  afterEach(() => upstream.faults.clear());

  const at = (path: string, nth = 0, host = upstream.host) => get(`${system.gateways.at(nth)!.url}/v2/${host}/${path}`);
  const move = (repository: string, seed: number, tag = 'v1') =>
    upstream.addImage({ repository, tag, seed, layers: [2000 + seed] });

  it('fresh: no question is asked', async () => {
    const { root } = move('fresh/app', 1);
    expect(digestOf(await at('fresh/app/manifests/v1'))).toBe(root.digest);
    move('fresh/app', 2);
    upstream.requests.clear();
    for (const nth of [0, -1]) expect(digestOf(await at('fresh/app/manifests/v1', nth))).toBe(root.digest);
    expect(upstream.requests.count({ path: /fresh/ })).toBe(0);
  });

  it('B16: stale: served at once, checked by HEAD off the path, and every gateway hears of a move', async () => {
    const first = move('stale/app', 1).root.digest;
    expect(digestOf(await at('stale/app/manifests/v1'))).toBe(first);
    upstream.requests.clear();
    expect(digestOf(await at('stale/app/manifests/v1'))).toBe(first);
    await eventually(async () => expect(upstream.requests.count({ method: 'HEAD', path: /stale/ })).toBe(1));
    expect(upstream.requests.gets(/stale.*manifests/)).toBe(0);
    const second = move('stale/app', 2).root.digest;
    for (const nth of [0, -1])
      await eventually(async () => expect(digestOf(await at('stale/app/manifests/v1', nth))).toBe(second));
    expect(upstream.requests.gets(/stale.*manifests/)).toBe(1);
  });

  it('C18: a tag moves while it is pulled: who has the old digest gets all of it, also what he has not asked for yet', async () => {
    const first = move('stale/moving', 1);
    expect(digestOf(await at('stale/moving/manifests/v1'))).toBe(first.root.digest);
    const second = move('stale/moving', 2).root.digest;
    for (const nth of [0, -1])
      await eventually(async () => expect(digestOf(await at('stale/moving/manifests/v1', nth))).toBe(second));
    for (const nth of [0, -1]) {
      expect((await at(`stale/moving/manifests/${first.root.digest}`, nth)).status).toBe(200);
      const image = first.images[0]!;
      for (const { digest, size } of [image.config, ...image.layers])
        expect((await at(`stale/moving/blobs/${digest}`, nth)).body.length).toBe(size);
    }
  });

  it.each<[string, Fault | 'down']>([
    ['down', 'down'],
    ['gone from DNS', 'down'],
    ['hanging', { hang: true }],
    ['429', { status: 429, headers: { 'retry-after': '1' } }],
    ['500', { status: 500 }],
    ['garbage', { status: 200, body: 'not a manifest at all' }],
    ['a web page', { html: true }],
  ])('what is cached awaits no upstream call while it is %s', async (what, fault) => {
    const repository = `stale/kept-${what.replaceAll(' ', '-').toLowerCase()}`;
    const { root, images } = move(repository, 9);
    const layers = images[0]!.layers;
    const host = what === 'gone from DNS' ? UNRESOLVED : upstream.host;
    const pull = async (nth: number) => {
      const tag = await at(`${repository}/manifests/v1`, nth, host);
      // A warning would tell that the upstream was waited for.
      expect([tag.status, digestOf(tag), tag.headers.warning]).toEqual([200, root.digest, undefined]);
      expect((await at(`${repository}/manifests/${root.digest}`, nth, host)).status).toBe(200);
      for (const { digest, size } of layers)
        expect((await at(`${repository}/blobs/${digest}`, nth, host)).body.length).toBe(size);
    };
    await eventually(() => pull(0));
    if (fault === 'down') await upstream.stop();
    else upstream.faults.add(fault);
    try {
      for (const nth of [0, -1, 0, -1]) await pull(nth);
    } finally {
      if (fault === 'down') await upstream.start();
    }
  });

  it.each<[string, Fault]>([
    ['500', { status: 500 }],
    ['429', { status: 429, headers: { 'retry-after': '1' } }],
    ['silence', { hang: true }],
  ])(
    'C21: expired: asked first; with trouble (%s) the cached one is served with a Warning, for a while without asking',
    async (what, fault) => {
      const repository = `expired/app-${what}`;
      // Not remembered as failing, whatever the tests before did.
      await eventually(async () => expect((await at(`expired/probe/manifests/v1`)).status).toBe(404));
      const first = move(repository, 1).root.digest;
      expect(digestOf(await at(`${repository}/manifests/v1`))).toBe(first);
      const second = move(repository, 2).root.digest;
      // A machine that is too slow for the upstream's word within its bound serves the old one with a Warning, for a while.
      await eventually(async () => expect(digestOf(await at(`${repository}/manifests/v1`))).toBe(second));
      upstream.faults.add({ path: new RegExp(repository), ...fault });
      upstream.requests.clear();
      for (let i = 0; i < 5; i++) {
        const answer = await at(`${repository}/manifests/v1`);
        expect([answer.status, digestOf(answer)]).toEqual([200, second]);
        expect(answer.headers.warning).toMatch(/^299 - "served from the cache: the upstream registry .*"$/);
      }
      // A pause that is short enough for a client is sat out, and the upstream asked once more.
      expect(upstream.requests.count({ path: new RegExp(`${repository}/manifests`) })).toBe(what === '429' ? 2 : 1);
    },
  );

  it('C23: with nothing cached, trouble is told as what it is', async () => {
    await eventually(async () => expect((await at(`fresh/probe/manifests/v1`)).status).toBe(404));
    upstream.faults.add({ path: /none/, status: 500 });
    expect((await at('none/a/manifests/v1')).status).toBe(502);
  });

  it('C20: gone upstream: served until stale has run out, then 404, and the digest for ever', async () => {
    const { digest } = move('short/app', 1).root;
    expect(digestOf(await at('short/app/manifests/v1'))).toBe(digest);
    upstream.content.removeTag('short/app', 'v1');
    expect(digestOf(await at('short/app/manifests/v1'))).toBe(digest);
    await eventually(async () => {
      const answer = await at('short/app/manifests/v1');
      expect([answer.status, errorOf(answer)]).toEqual([404, 'MANIFEST_UNKNOWN']);
    });
    expect((await at('short/app/manifests/v1', -1)).status).toBe(404);
    expect((await at(`short/app/manifests/${digest}`)).status).toBe(200);
  });

  it('C24: a tag made after its 404 is there within seconds', async () => {
    expect((await at('fresh/late/manifests/v1')).status).toBe(404);
    upstream.requests.clear();
    expect((await at('fresh/late/manifests/v1')).status).toBe(404);
    expect(upstream.requests.count({ path: /late/ })).toBe(0);
    const { digest } = move('fresh/late', 1).root;
    await eventually(async () => expect(digestOf(await at('fresh/late/manifests/v1'))).toBe(digest), 8_000);
  });

  it('rules: a pinned tag never moves, others are asked for each time, and so is latest', async () => {
    for (const [repository, tag, asked] of [
      ['pinned/app', 'v1', 0],
      ['always/app', 'v1', 1],
      ['fresh/latest', 'latest', 1],
    ] as const) {
      const first = move(repository, 1, tag).root.digest;
      expect(digestOf(await at(`${repository}/manifests/${tag}`))).toBe(first);
      const second = move(repository, 2, tag).root.digest;
      upstream.requests.clear();
      expect(digestOf(await at(`${repository}/manifests/${tag}`, -1))).toBe(asked ? second : first);
      expect(upstream.requests.count({ method: 'HEAD', path: new RegExp(`${repository}/manifests`) })).toBe(asked);
    }
  });
});
