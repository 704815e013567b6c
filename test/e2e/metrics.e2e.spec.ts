import { Deferred } from '#async';
import { get } from '../support/client.js';
import { eventually } from '../support/eventually.js';
import { type Installation, install, stacks } from '../support/servers.js';
import { freePort } from '../support/services/index.js';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream/index.js';

jest.setTimeout(240_000);

const MiB = 2 ** 20;

/** Samples of some processes: the sum of all whose name and labels begin like this. */
class Scrape {
  private constructor(private readonly lines: readonly string[]) {}

  static async of(admins: readonly string[]): Promise<Scrape> {
    const texts = await Promise.all(admins.map(async (admin) => (await fetch(`${admin}/metrics`)).text()));
    return new Scrape(texts.flatMap((text) => text.split('\n').filter((line) => line && !line.startsWith('#'))));
  }

  /** Undefined when there is no such sample. */
  sum(name: string, labels: Readonly<Record<string, string>> = {}): number | undefined {
    const values = this.lines.flatMap((line) => {
      const [, found, given = '', value] = /^ociregistry_([a-z0-9_]+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
      const fits = Object.entries(labels).every(([label, wanted]) => `,${given},`.includes(`,${label}="${wanted}",`));
      return found === name && fits ? [Number(value)] : [];
    });
    return values.length === 0 ? undefined : values.reduce((all, value) => all + value, 0);
  }
}

describe.each(stacks())('metrics on the %s stack', (name) => {
  let upstream: FakeUpstream;
  let system: Installation;
  let ownPort: number | undefined;

  beforeAll(async () => {
    upstream = await startFakeUpstream();
    // Of several processes on one machine only one could have it.
    ownPort = name === 'standalone' ? await freePort() : undefined;
    const extra = ownPort === undefined ? {} : { metrics: ownPort };
    system = await install(name, [upstream.host], { tags: { fresh: '1h' }, ...extra });
  });
  afterAll(async () => {
    await system?.stop();
    await upstream?.stop();
  });
  afterEach(() => upstream.faults.clear());

  const processes = () => [...new Set([...system.gateways, ...system.pullers])];
  const scrape = () => Scrape.of(processes().map(({ admin }) => admin));
  const url = (path: string, gateway = 0) =>
    `${system.gateways[gateway % system.gateways.length]!.url}/v2/${upstream.host}/${path}`;

  it('count what comes from the upstream and what from the cache', async () => {
    const { images } = upstream.addImage({ repository: 'team/app', tag: 'v1' });
    const image = images[0]!;
    const blobs = [image.config, ...image.layers];
    for (let turn = 0; turn < 3; turn++) {
      expect((await get(url(`team/app/manifests/v1`))).status).toBe(200);
      for (const { digest } of blobs) expect((await get(url(`team/app/blobs/${digest}`))).status).toBe(200);
    }
    expect((await get(url(`team/app/manifests/none`))).status).toBe(404);

    const host = { upstream: upstream.host };
    await eventually(async () => {
      const all = await scrape();
      expect(all.sum('cached_pulls_by_ns_total', { ns: upstream.host })).toBe(2);
      expect(all.sum('upstream_pulls_by_ns', { ns: upstream.host })).toBe(1);
      expect(all.sum('manifest_pulls_total')).toBe(3);
      expect(all.sum('blob_pulls_total')).toBe(3 * blobs.length);
      expect(all.sum('v2_api_endpoint_hits_total')).toBe(3 * blobs.length + 4);
      expect(all.sum('api_errors_total')).toBe(1);
      expect(all.sum('requests_total', { status: '200' })).toBe(3 * blobs.length + 3);
      expect(all.sum('content_requests_total', { ...host, kind: 'manifest', result: 'failure' })).toBe(1);
      expect(all.sum('request_duration_seconds_count', { kind: 'manifest', outcome: 'fetched' })).toBe(1);
      const bytes = blobs.reduce((sum, { size }) => sum + size, 0);
      expect(all.sum('served_bytes_total', { ...host, kind: 'blob' })).toBe(3 * bytes);
      expect(all.sum('fetched_bytes_total', { ...host, kind: 'blob' })).toBe(bytes);
      expect(all.sum('pull_duration_seconds_count', { kind: 'manifest', outcome: 'done' })).toBe(1);
      expect(all.sum('pull_duration_seconds_count', { kind: 'manifest', outcome: 'MANIFEST_UNKNOWN' })).toBe(1);
    });
  });

  it('tell the sizes of the cache, and the same in every process', async () => {
    for (const { admin } of processes()) {
      await eventually(async () => {
        const one = await Scrape.of([admin]);
        expect(one.sum('cached_manifest_count')).toBe(1);
        expect(one.sum('cached_blob_count')).toBeGreaterThan(1);
        expect(one.sum('blob_bytes_on_disk_total')).toBeGreaterThan(0);
        expect(one.sum('queue_depth', { lane: 'interactive' })).toBe(0);
        expect(one.sum('database_connections')).toBeGreaterThan(0);
      }, 60_000);
    }
  });

  it('show a transfer while it runs, its readers, and what the relay sends', async () => {
    const { digest } = upstream.addBlob('cold', { size: 8 * MiB, seed: 77 });
    const gate = new Deferred();
    upstream.faults.add({ path: new RegExp(digest), method: 'GET', stall: { at: 4 * MiB, open: gate.promise } });
    const joined = new Deferred();
    let reading = 0;
    const clients = [0, 1, 0, 1].map((gateway) => {
      let counted = false;
      return get(url(`cold/blobs/${digest}`, gateway), {
        onBytes: () => {
          if (!counted && ++reading === 4) joined.resolve();
          counted = true;
        },
      });
    });
    await joined.promise;
    await eventually(async () => {
      const all = await scrape();
      expect(all.sum('transfers_running')).toBe(1);
      expect(all.sum('transfer_readers')).toBeGreaterThanOrEqual(name === 'standalone' ? 4 : 2);
      expect(all.sum('pulls_running')).toBe(1);
      expect(all.sum('queue_oldest_seconds', { lane: 'interactive' })).toBeGreaterThan(0);
    });
    gate.resolve();
    for (const answer of await Promise.all(clients)) expect(answer.body.length).toBe(8 * MiB);
    await eventually(async () => {
      const all = await scrape();
      expect(all.sum('transfers_running')).toBe(0);
      expect(all.sum('transfer_readers_served_sum')).toBeGreaterThanOrEqual(name === 'standalone' ? 4 : 2);
      expect(all.sum('transfer_withheld_tails_total')).toBeGreaterThan(0);
      const relayed = all.sum('relay_sent_bytes_total');
      if (name === 'standalone') expect(relayed).toBe(0);
      else expect(relayed).toBeGreaterThanOrEqual(2 * 7 * MiB);
    });
  });

  it('count downloads that went on after a broken connection', async () => {
    const { digest } = upstream.addBlob('cold', { size: 4 * MiB, seed: 78 });
    upstream.faults.add({ path: new RegExp(digest), method: 'GET', truncate: 2 * MiB, times: 1 });
    expect((await get(url(`cold/blobs/${digest}`))).cut).toBe(false);
    await eventually(async () => expect((await scrape()).sum('transfer_resumes_total')).toBe(1));
  });

  it("show what is left of an upstream's quota, and that it rests", async () => {
    upstream.addImage({ repository: 'team/quota', tag: 'v1' });
    const headers = { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': '64;w=21600' };
    upstream.faults.add({ path: /quota/, headers });
    expect((await get(url('team/quota/manifests/v1'))).status).toBe(200);
    const host = { upstream: upstream.host };
    for (const { admin } of processes())
      await eventually(async () => {
        const one = await Scrape.of([admin]);
        expect(one.sum('upstream_quota_limit', host)).toBe(100);
        expect(one.sum('upstream_quota_remaining', host)).toBe(64);
        expect(one.sum('upstream_quota_window_seconds', host)).toBe(21_600);
        expect(one.sum('upstream_paused', host)).toBeUndefined();
      });
    upstream.faults.add({ path: /limited/, status: 429, headers: { 'retry-after': '3600' } });
    expect((await get(url('team/limited/manifests/v1'))).status).toBe(429);
    for (const { admin } of processes())
      await eventually(async () => {
        const one = await Scrape.of([admin]);
        expect(one.sum('upstream_paused', { ...host, cause: 'rate-limited' })).toBe(1);
        expect(one.sum('upstream_pause_seconds', host)).toBeGreaterThan(3000);
      });
  });

  it('have a port of their own where one is named, which has nothing else', async () => {
    if (ownPort === undefined) return;
    const base = `http://127.0.0.1:${ownPort}`;
    const answer = await fetch(`${base}/metrics`);
    expect([answer.status, answer.headers.get('content-type')]).toEqual([
      200,
      'text/plain; version=0.0.4; charset=utf-8',
    ]);
    expect(await answer.text()).toContain('ociregistry_build_info{');
    for (const path of ['/health', '/api/v1/config', '/metrics/../api/v1/config', '/'])
      expect((await get(base + path)).status).toBe(404);
  });
});
