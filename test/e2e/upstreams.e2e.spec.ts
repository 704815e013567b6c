import { get } from '../support/client.js';
import { type Installation, install, type ServerProcess, stacks } from '../support/servers.js';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream/index.js';

jest.setTimeout(240_000);

const errorOf = (answer: { body: Buffer }) => JSON.parse(answer.body.toString()).errors[0].code;

describe.each(stacks())('upstreams on the %s stack', (name) => {
  let fakes: FakeUpstream[];
  let system: Installation;
  let gateways: ServerProcess[];

  beforeAll(async () => {
    fakes = await Promise.all(Array.from({ length: 4 }, () => startFakeUpstream()));
    const [main, limited, mirrored, mirror] = fakes as [FakeUpstream, FakeUpstream, FakeUpstream, FakeUpstream];
    system = await install(name, [], {
      registries: [
        { name: main.host, scheme: 'http' },
        { name: limited.host, scheme: 'http' },
        { name: mirrored.host, scheme: 'http', mirrors: [{ url: mirror.url }] },
      ],
      tags: { fresh: '1s', stale: '1s' },
    });
    gateways = [...system.gateways];
  });
  afterAll(async () => {
    await system?.stop();
    await Promise.all(fakes?.map((fake) => fake.stop()) ?? []);
  });
  afterEach(() => {
    for (const fake of fakes) fake.faults.clear();
  });

  const url = (fake: FakeUpstream, rest: string, nth = 0) =>
    `${gateways[nth % gateways.length]!.url}/v2/${fake.host}/${rest}`;

  it('B17: a 429 rests the upstream for every puller, also for one that starts then; what is cached is served', async () => {
    const limited = fakes[1]!;
    const { root } = limited.addImage({ repository: 'cached', tag: 'v1' });
    expect((await get(url(limited, 'cached/manifests/v1'))).status).toBe(200);
    limited.faults.add({ status: 429, headers: { 'retry-after': '600' } });
    const first = await get(url(limited, 'other/manifests/v1'));
    expect([first.status, errorOf(first), Number(first.headers['retry-after'])]).toEqual([
      429,
      'TOOMANYREQUESTS',
      expect.any(Number),
    ]);
    expect(Number(first.headers['retry-after'])).toBeGreaterThan(590);
    limited.requests.clear();
    // Enough to reach every puller; every one must have heard of it by then or read it at its start.
    await Promise.all(system.pullers.map((puller) => puller.restart()));
    for (let i = 0; i < 12; i++) {
      const answer = await get(url(limited, `other/manifests/t${i}`, i));
      expect([answer.status, Number(answer.headers['retry-after']) > 500]).toEqual([429, true]);
    }
    expect(limited.requests.length).toBe(0);
    const cached = await get(url(limited, 'cached/manifests/v1'));
    expect([cached.status, cached.headers['docker-content-digest']]).toEqual([200, root.digest]);
    expect((await get(url(limited, `cached/manifests/${root.digest}`))).status).toBe(200);
  });

  it('C35: an upstream that is ourselves is seen by its Via, also over another cache', async () => {
    const main = fakes[0]!;
    let hops = '';
    main.faults.add({ path: /loop/, status: 404 });
    await get(url(main, 'loop/manifests/v1'));
    hops = main.requests.filter({ path: /loop/ })[0]!.headers.via as string;
    expect(hops).toMatch(/^1\.1 ociregistry-[0-9a-f]{32}$/);
    const looped = await get(url(main, 'loop/manifests/v2'), { headers: { via: `1.1 varnish, ${hops}` } });
    expect(looped.status).toBe(508);
    const chained = await get(url(main, 'loop/manifests/v3'), { headers: { via: '1.1 ociregistry-other' } });
    expect(chained.status).toBe(404);
    expect(main.requests.filter({ path: /v3$/ })[0]!.headers.via).toBe(`1.1 ociregistry-other, ${hops}`);
    main.faults.add({ path: /mirror-of-us/, status: 508 });
    const told = await get(url(main, 'mirror-of-us/manifests/v1'));
    expect([told.status, JSON.parse(told.body.toString()).errors[0].detail.reason]).toEqual([
      508,
      'the upstream registry leads back to this server',
    ]);
  });

  it('mirrors: digests come from one, tags from the upstream, and without the mirror everything does', async () => {
    const [mirrored, mirror] = [fakes[2]!, fakes[3]!];
    const { root, images } = mirrored.addImage({ repository: 'app', tag: 'v1' });
    const layers = images[0]!.layers;
    for (const layer of layers) mirror.addBlob('app', mirrored.content.blob('app', layer.digest)!);
    expect((await get(url(mirrored, 'app/manifests/v1'))).headers['docker-content-digest']).toBe(root.digest);
    for (const { digest, size } of layers) {
      const answer = await get(url(mirrored, `app/blobs/${digest}`));
      expect([answer.status, answer.body.length]).toEqual([200, size]);
      expect([mirror, mirrored].map((fake) => fake.requests.gets(new RegExp(digest)))).toEqual([1, 0]);
    }
    await mirror.stop();
    const more = mirrored.addImage({ repository: 'app', tag: 'v2', seed: 2 });
    for (const { digest, size } of more.images[0]!.layers)
      expect((await get(url(mirrored, `app/blobs/${digest}`))).body.length).toBe(size);
    await mirror.start();
  });
});
