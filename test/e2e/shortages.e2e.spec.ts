import { execFileSync } from 'node:child_process';
import { Deferred } from '#async';
import { type Answer, digestOfBody, get } from '../support/client.js';
import { eventually } from '../support/eventually.js';
import { spoolFiles } from '../support/inside.js';
import { type Installation, install, stacks } from '../support/servers.js';
import { smallDisk } from '../support/small-disk.js';
import { type BlobSource, bytesOf } from '../support/upstream/blobs.js';
import { MEDIA_TYPES, made } from '../support/upstream/images.js';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream/index.js';

jest.setTimeout(120_000);

const MiB = 2 ** 20;

const right = (answer: Answer, { digest }: BlobSource) =>
  expect([answer.status, answer.cut, digestOfBody(answer.body)]).toEqual([200, false, digest]);

describe.each(stacks())('where room or bytes are short on the %s stack', (name) => {
  let upstream: FakeUpstream;
  let crawling: FakeUpstream;
  let system: Installation;
  let seed = 5900;
  beforeAll(async () => {
    [upstream, crawling] = await Promise.all([startFakeUpstream(), startFakeUpstream()]);
    const pulls = { lease: '3s', minRate: '10KiB', minRateOver: '2s' };
    system = await install(name, [upstream.host, crawling.host], { pulls, pullTimeout: 15_000 });
  });
  afterAll(async () => {
    await system?.stop();
    await Promise.all([upstream?.stop(), crawling?.stop()]);
  });
  beforeEach(() => upstream.faults.clear());
  afterEach(() => limit('unlimited'));

  /** The kernel refuses what goes beyond, as it does on a full disk; that needs no privilege, and can be lifted again. */

  const limit = (bytes: number | 'unlimited') => {
    for (const { pid } of system.pullers) execFileSync('prlimit', ['--pid', String(pid), `--fsize=${bytes}:`]);
  };
  const blob = (size: number) => upstream.addBlob('cold', { size, seed: ++seed });
  const url = (digest: string, gateway = 0, host = upstream.host) =>
    `${system.gateways[gateway % system.gateways.length]!.url}/v2/${host}/cold/blobs/${digest}`;
  const expectNothingKept = async ({ digest }: BlobSource) => {
    await eventually(async () => expect(system.spools.flatMap(spoolFiles)).toEqual([]));
    expect([await system.stored.has(digest), await system.stored.unfinished()]).toEqual([false, []]);
  };

  it('C7: an upstream that crawls is given up, and holds up nobody else', async () => {
    const [slow, other] = [crawling.addBlob('cold', { size: 4 * MiB, seed: 1 }), blob(4 * MiB)];
    const asked = { path: new RegExp(slow.digest), method: 'GET' };
    crawling.faults.add({ ...asked, rate: 1 });
    const stuck = get(url(slow.digest, 0, crawling.host));
    await crawling.requests.until(asked);
    for (const gateway of [0, 1]) right(await get(url(other.digest, gateway)), other);
    const answer = await stuck;
    expect(answer.cut || answer.status === 504).toBe(true);
    // None of its connections was left to go on.
    await eventually(async () => expect(crawling.requests.filter(asked).filter(({ aborted }) => !aborted)).toEqual([]));
    expect(crawling.requests.bytes(asked.path)).toBeLessThan(MiB);
    await expectNothingKept(slow);
    crawling.faults.clear();
    await eventually(async () => right(await get(url(slow.digest, 1, crawling.host)), slow), 60_000);
  });

  it('C59: all who ask for a blob are served from one fetch, and nothing of it is kept', async () => {
    const cold = blob(48 * MiB);
    limit(4 * MiB);
    const whole = bytesOf(cold);
    const ranges = [1000, 30 * MiB].map((from, i) =>
      get(url(cold.digest, i), { headers: { range: `bytes=${from}-${from + 99_999}` } }).then(({ status, body }) =>
        expect([status, body.equals(whole.subarray(from, from + 100_000))]).toEqual([206, true]),
      ),
    );
    const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => get(url(cold.digest, i))));
    for (const answer of answers) right(answer, cold);
    await Promise.all(ranges);
    expect(upstream.requests.bytes(new RegExp(cold.digest))).toBeLessThan(1.5 * cold.size);
    await expectNothingKept(cold);
    const told = await Promise.all(system.pullers.map(({ admin }) => fetch(`${admin}/metrics`).then((r) => r.text())));
    expect(told.join('\n')).toMatch(/^ociregistry_transfer_not_kept_total [1-9]/m);
    // Later ones cost another fetch, until there is room again.
    right(await get(url(cold.digest, 1)), cold);
    limit('unlimited');
    await expectNothingKept(cold);
    right(await get(url(cold.digest)), cold);
    await eventually(async () => expect(await system.stored.has(cold.digest)).toBe(true));
  });

  it('C59: a client that stands still is left behind, and the others get all of it', async () => {
    const cold = blob(48 * MiB);
    limit(4 * MiB);
    const others = [0, 1, 2].map((gateway) => get(url(cold.digest, gateway)));
    const stuck = get(url(cold.digest), { pause: Promise.all(others) });
    for (const answer of await Promise.all(others)) right(answer, cold);
    // Broken off, or served from a fetch of its own; never a short or a wrong body.
    const last = await stuck;
    if (!last.cut) right(last, cold);
    await expectNothingKept(cold);
  });

  it('C59: small blobs come as well', async () => {
    const blobs = [20_000, 900_000, 3 * MiB].map(blob);
    limit(0);
    const answers = await Promise.all(blobs.map(({ digest }, i) => get(url(digest, i))));
    for (const [i, cold] of blobs.entries()) right(answers[i]!, cold);
  });

  it('C59: wrong bytes are never a complete body', async () => {
    const cold = blob(24 * MiB);
    limit(4 * MiB);
    upstream.faults.add({ path: new RegExp(cold.digest), method: 'GET', flip: 20 * MiB, times: 1 });
    const answers = await Promise.all([0, 1].map((gateway) => get(url(cold.digest, gateway))));
    for (const answer of answers) expect(answer.cut).toBe(true);
    upstream.faults.clear();
    right(await get(url(cold.digest)), cold);
  });
});

describe.each(stacks())('waiting on the %s stack', (name) => {
  const TIMEOUT = 4_000;
  let upstream: FakeUpstream;
  let system: Installation;
  let seed = 6900;
  beforeAll(async () => {
    upstream = await startFakeUpstream();
    system = await install(name, [upstream.host], {
      pullTimeout: TIMEOUT,
      spool: { maxBytes: '64MiB' },
      prefetch: { enabled: false },
    });
  });
  afterAll(async () => {
    await system?.stop();
    await upstream?.stop();
  });
  beforeEach(() => upstream.faults.clear());

  const blob = (size: number) => upstream.addBlob('cold', { size, seed: ++seed });
  const ask = ({ digest }: BlobSource, gateway = 0) =>
    get(`${system.gateways[gateway % system.gateways.length]!.url}/v2/${upstream.host}/cold/blobs/${digest}`);
  const of = ({ digest }: BlobSource) => ({ path: new RegExp(digest), method: 'GET' });

  it('a fetch without a first byte ends with its last waiter, and the next request starts afresh', async () => {
    const cold = blob(3 * MiB);
    const heal = upstream.faults.add({ ...of(cold), stall: { at: 0 } });
    const answers = await Promise.all([0, 1].map((gateway) => ask(cold, gateway)));
    // Its size was told, so the headers may be out already; or the breaker has opened meanwhile.
    for (const { status, cut } of answers) expect(status >= 500 || cut).toBe(true);
    const asked = () => upstream.requests.filter(of(cold));
    await eventually(async () => expect(asked().filter(({ aborted }) => !aborted)).toEqual([]));
    const before = asked().length;
    heal();
    await eventually(async () => right(await ask(cold), cold), 60_000);
    expect(asked()).toHaveLength(before + 1);
  });

  it('over spool.maxBytes downloads wait for room, are told so after pullTimeout, and go on when there is some', async () => {
    // Each takes most of one spool; what comes next finds no room in any. All have sizes that are known beforehand.
    const [next, ...large] = [20, ...system.pullers.map(() => 60)].map((size) => blob(size * MiB));
    const config = upstream.addBlob('cold', Buffer.from('{}'));
    const described = ({ digest, size }: BlobSource) => ({ mediaType: MEDIA_TYPES.oci.layer, digest, size });
    const manifest = made(MEDIA_TYPES.oci.manifest, {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.oci.manifest,
      config: { ...described(config), mediaType: MEDIA_TYPES.oci.config },
      layers: [next!, ...large].map(described),
    });
    upstream.content.addManifest('cold', manifest, 'v1');
    expect((await get(`${system.gateways[0]!.url}/v2/${upstream.host}/cold/manifests/v1`)).status).toBe(200);
    const gate = new Deferred();
    for (const one of large) upstream.faults.add({ ...of(one), stall: { at: 8 * MiB, open: gate.promise } });
    const holding = large.map((one, gateway) => ask(one, gateway));
    for (const one of large) await upstream.requests.until(of(one));
    const refused = await ask(next!);
    expect([refused.status, refused.headers['retry-after']]).toEqual([503, expect.any(String)]);
    expect(upstream.requests.count(of(next!))).toBe(0);
    const waiting = eventually(async () => right(await ask(next!, 1), next!), 60_000);
    gate.resolve();
    for (const [i, answer] of (await Promise.all(holding)).entries()) right(answer, large[i]!);
    await waiting;
  });
});

const standaloneOnly = stacks().includes('standalone') ? describe : describe.skip;
standaloneOnly('C59: a standalone server on a disk without a free byte', () => {
  const disk = smallDisk(400 * MiB);
  const { TMPDIR } = process.env;
  let upstream: FakeUpstream;
  let system: Installation;
  beforeAll(async () => {
    upstream = await startFakeUpstream();
    // Where an installation puts everything that it has.
    if (disk) process.env.TMPDIR = disk.path;
    if (disk) system = await install('standalone', [upstream.host]);
  });
  afterAll(async () => {
    if (TMPDIR === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = TMPDIR;
    await system?.stop();
    await upstream?.stop();
    disk?.unmount();
  });

  (disk ? it : it.skip)('gives whole images to all who ask, and keeps them once there is room', async () => {
    const { root, images } = upstream.addImage({ repository: 'full', tag: 'v1', layers: [20_000, 24 * MiB] });
    const blobs = images.flatMap(({ config, layers }) => [config, ...layers]);
    const base = `${system.gateways[0]!.url}/v2/${upstream.host}/full`;
    const pull = async () => {
      const manifest = await get(`${base}/manifests/v1`);
      expect([manifest.status, manifest.headers['docker-content-digest']]).toEqual([200, root.digest]);
      await Promise.all(blobs.map(async (cold) => right(await get(`${base}/blobs/${cold.digest}`), cold)));
    };
    disk!.fill();
    await Promise.all([1, 2, 3].map(pull));
    await eventually(async () => expect(system.spools.flatMap(spoolFiles)).toEqual([]));
    disk!.free();
    await eventually(async () => {
      await pull();
      for (const { digest } of blobs) expect(await system.stored.has(digest)).toBe(true);
    });
    upstream.requests.clear();
    await system.restartAll();
    await pull();
    expect(upstream.requests.count({ path: /blobs/ })).toBe(0);
  });
});
