import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestOfBody, get } from '../support/client.js';
import { eventually } from '../support/eventually.js';
import { query } from '../support/inside.js';
import { type Installation, install, type ServerProcess, stacks } from '../support/servers.js';
import { type FakeUpstream, makeCertificates, startFakeUpstream } from '../support/upstream/index.js';

jest.setTimeout(240_000);

const errorOf = (answer: { body: Buffer }) => JSON.parse(answer.body.toString()).errors[0].code;

describe.each(stacks())('upstreams on the %s stack', (name) => {
  let fakes: FakeUpstream[];
  let system: Installation;
  let gateways: ServerProcess[];
  const files = mkdtempSync(join(tmpdir(), 'ociregistry-upstreams-'));

  /** Every process has the same certificate: all are at 127.0.0.1. */
  const relayTls = () =>
    Object.fromEntries(
      Object.entries(makeCertificates()).flatMap(([name, text]) => {
        if (!['ca', 'cert', 'key'].includes(name)) return [];
        writeFileSync(join(files, name), text);
        return [[name, join(files, name)]];
      }),
    );

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
      relay: { tls: relayTls() },
    });
    gateways = [...system.gateways];
  });
  afterAll(async () => {
    await system?.stop();
    await Promise.all(fakes?.map((fake) => fake.stop()) ?? []);
    rmSync(files, { recursive: true, force: true });
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

  it('relay.tls: a client behind another process is fed while the bytes come, by TLS on both sides', async () => {
    const main = fakes[0]!;
    const { images } = main.addImage({ repository: 'relayed', tag: 'v1', layers: [3_000_000], seed: 21 });
    const { digest } = images[0]!.layers[0]!;
    let open = () => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    main.faults.add({ path: new RegExp(digest), stall: { at: 2_000_000, open: gate } });
    let received = 0;
    const answer = get(url(main, `relayed/blobs/${digest}`), { onBytes: (total) => (received = total) });
    await eventually(async () => {
      expect(received).toBeGreaterThan(1_000_000);
      const sql = `SELECT relay->>'url' AS url FROM pulls WHERE target->>'digest' = $1`;
      const [running] = await query(system.databaseUrl, sql, [digest]);
      expect(running?.url).toMatch(name === 'standalone' ? /^$/ : /^https:\/\/127\.0\.0\.1:/);
    });
    open();
    const { status, body } = await answer;
    expect([status, digestOfBody(body)]).toEqual([200, digest]);
  });

  it('mirrors: digests come from one, tags from the upstream, and without the mirror everything does', async () => {
    const [mirrored, mirror] = [fakes[2]!, fakes[3]!];
    // Bytes that no other test's prefetch may have brought: those would only be asked for by HEAD.
    const { root, images } = mirrored.addImage({ repository: 'app', tag: 'v1', seed: 11 });
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

  const admin = async (path: string, body?: object) => {
    const answer = await fetch(`${system.gateways[0]!.admin}/api/v1/${path}`, {
      method: body ? 'POST' : 'GET',
      headers: { 'content-type': 'application/json' },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    const text = await answer.text();
    return { status: answer.status, body: text === '' ? undefined : JSON.parse(text) };
  };

  it('an operator pauses an upstream for every puller and lets it go on; what is cached is served', async () => {
    const main = fakes[0]!;
    main.addImage({ repository: 'manual', tag: 'cached' });
    main.addImage({ repository: 'manual', tag: 'v1' });
    expect((await get(url(main, 'manual/manifests/cached'))).status).toBe(200);
    expect((await admin(`upstreams/${main.host}/pause`, { seconds: 600 })).status).toBe(204);
    const paused = await eventually(async () => {
      const answer = await get(url(main, `manual/manifests/t${Math.random()}`));
      expect(answer.status).toBe(503);
      return answer;
    });
    expect(JSON.parse(paused.body.toString()).errors[0].detail.reason).toBe(
      'the upstream registry is paused by the operator',
    );
    expect(Number(paused.headers['retry-after'])).toBeGreaterThan(500);
    const { items } = (await admin('upstreams/states')).body;
    expect(items.find((state: { upstream: string }) => state.upstream === main.host)).toMatchObject({
      configured: true,
      pause: { cause: 'manual', countedOnly: false },
    });
    expect((await get(url(main, 'manual/manifests/cached'))).status).toBe(200);
    expect((await admin(`explain?ref=${main.host}/manual:v1`)).body).toMatchObject({
      verdict: 'pull',
      why: ['it is not cached', expect.stringMatching(/^the upstream rests for another \d+ s: an operator paused it$/)],
    });
    expect((await admin(`upstreams/${main.host}/resume`, {})).status).toBe(204);
    await eventually(async () => expect((await get(url(main, 'manual/manifests/v1'))).status).toBe(200));
    expect((await admin('upstreams/not%20a%20host/pause', { seconds: 1 })).status).toBe(400);
  });

  it('explains what it would do, and why, without asking anybody', async () => {
    const main = fakes[0]!;
    const { root, images } = main.addImage({ repository: 'told', tag: 'v1' });
    expect((await get(url(main, 'told/manifests/v1'))).status).toBe(200);
    const parts = images[0]!.layers.length + 1;
    await eventually(async () =>
      expect((await admin(`explain?ref=${main.host}/told@${root.digest}`)).body).toMatchObject({
        verdict: 'serve',
        why: ['a digest that is cached never needs the upstream'],
        cached: { digest: root.digest, parts, partsCached: parts },
      }),
    );
    main.requests.clear();
    await eventually(async () =>
      expect((await admin(`explain?ref=${main.host}/told:v1`)).body).toMatchObject({
        reference: `${main.host}/told:v1`,
        verdict: 'ask',
        tag: { freshness: 'expired', freshFor: 1000 },
      }),
    );
    expect((await admin(`explain?ref=${main.host}/none:v1`)).body).toMatchObject({ verdict: 'pull' });
    expect((await admin('explain?ref=example.com/a:v1')).body).toMatchObject({ verdict: 'refuse' });
    expect((await admin('explain?ref=A')).status).toBe(400);
    expect(main.requests.length).toBe(0);
  });

  it('tells in Server-Timing how an answer came about that was not simply cached', async () => {
    const main = fakes[0]!;
    const { images } = main.addImage({ repository: 'timed', tag: 'v1' });
    const timing = async (path: string) => (await get(url(main, path))).headers['server-timing'];
    const asked = `upstream;desc="${main.host}";dur=[0-9]+`;
    expect(await timing('timed/manifests/v1')).toMatch(new RegExp(`^cache;desc="fetched";dur=[0-9.]+, ${asked}$`));
    expect(await timing(`timed/manifests/${images[0]!.digest}`)).toBeUndefined();
    await eventually(async () =>
      expect(await timing('timed/manifests/v1')).toMatch(
        new RegExp(`^cache;desc="revalidated";dur=[0-9.]+, ${asked}$`),
      ),
    );
    // From which mirror, and that it was not asked at once: to the client, and in the logs.
    const [mirrored, mirror] = [fakes[2]!, fakes[3]!];
    const { layers } = mirrored.addImage({ repository: 'timed', tag: 'v1', seed: 31 }).images[0]!;
    mirror.addBlob('timed', mirrored.content.blob('timed', layers[0]!.digest)!);
    const blob = await get(url(mirrored, `timed/blobs/${layers[0]!.digest}`));
    expect(blob.headers['server-timing']).toMatch(
      new RegExp(`^cache;desc="fetched";dur=[0-9.]+, upstream;desc="${mirror.host}";dur=[0-9]+$`),
    );
    main.faults.add({ path: /timed\/manifests\/held/, times: 1, status: 429, headers: { 'retry-after': '1' } });
    main.addImage({ repository: 'timed', tag: 'held', seed: 32 });
    expect(await timing('timed/manifests/held')).toMatch(/^cache;desc="fetched";.*, held;dur=[0-9]+$/);
    await eventually(async () => {
      const log = [...gateways, ...system.pullers].map((server) => server.log).join('');
      expect(log).toMatch(new RegExp(`"from":"${mirror.host}","upstreamMs":\\d+`));
      expect(log).toMatch(/"from":"[^"]+","ms":\d+,"held":\d+.*"pulled"/);
    });
  });
});
