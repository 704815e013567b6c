import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { UpstreamStatus } from '#registry';
import { PullCounters } from '../pull-counters.js';
import { Traffic } from '../traffic.js';
import { type MetricSources, Metrics } from './metrics.js';

const PAGE = join(__dirname, '../../../docs/metrics.md');

/** Sources in which everything has happened at least once. */
function sources(): MetricSources & { traffic: Traffic; pulls: PullCounters } {
  const traffic = new Traffic();
  for (const kind of ['manifest', 'blob', 'list'] as const) {
    Object.assign(traffic.of('docker.io', kind), { hits: 3, misses: 2, failures: 1, bytesServed: 10, bytesFetched: 5 });
    traffic.observe(kind, 'hit', 0.0004);
    traffic.observe(kind, 'stale-on-error', 2);
  }
  for (const status of [200, 404, 499]) traffic.requests.set(status, 4);
  const pulls = new PullCounters();
  pulls.pullStarted('blob', 2);
  pulls.pullEnded('blob', 'done', 0.2);
  pulls.pullEnded('blob', 'present', 0);
  pulls.transferEvent('withheld');
  pulls.transferEnded(3);
  pulls.hookReceived('github', 1, 2);
  const status: UpstreamStatus = {
    upstream: 'docker.io',
    configured: true,
    pause: { cause: 'rate-limited', remaining: 5_000, countedOnly: true },
    failingFor: 100,
    quota: { limit: 100, remaining: 7, window: 21_600, age: 1_500 },
  };
  return {
    about: { version: '1.2.3', role: 'all', stack: 'standalone' },
    traffic,
    pulls,
    transfers: { all: () => [{ readers: { size: 2 } }, { readers: { size: 5 } }] as never },
    catalog: {
      counts: async () => ({ repositories: 1, manifests: 2, manifestBytes: 3, blobs: 4, blobBytes: 5, tags: 6 }),
    },
    bus: {
      depth: async () => ({ interactive: 1, background: 2 }),
      oldest: async () => ({ interactive: 1500, background: 0 }),
    },
    upstreams: { list: async () => [status] },
    pool: () => ({ busy: 1, idle: 2, waiting: 3 }),
  };
}

interface Read {
  readonly type: string;
  readonly help: string;
  readonly labels: Set<string>;
}

/** What a text exposes, by name. */
function read(text: string): Map<string, Read> {
  const all = new Map<string, Read>();
  for (const [, name = '', help = ''] of text.matchAll(/^# HELP (\S+) (.*)$/gm)) {
    const type = new RegExp(`^# TYPE ${name} (\\w+)$`, 'm').exec(text)?.[1] ?? '';
    const labels = new Set<string>();
    const sample = new RegExp(`^${name}(?:_bucket|_sum|_count)?\\{(.*)\\} \\S+$`, 'gm');
    for (const [, pairs = ''] of text.matchAll(sample))
      for (const [, label = ''] of pairs.matchAll(/(\w+)="/g)) if (label !== 'le') labels.add(label);
    all.set(name, { type, help, labels });
  }
  return all;
}

describe('metrics', () => {
  it('are what docs/metrics.md says, name by name and label by label (UPDATE=1 writes its tables)', async () => {
    const exposed = [...read(await new Metrics(sources()).text())].sort(([a], [b]) => (a < b ? -1 : 1));
    const table = (ours: boolean) =>
      exposed
        .filter(([name]) => name.startsWith('ociregistry_') === ours)
        .map(([name, { type, help, labels }]) => {
          // Which samples, and so labels, a process has of its own depends on the moment.
          const shown = ours
            ? ` ${[...labels]
                .sort()
                .map((label) => `\`${label}\``)
                .join(' ')} |`
            : '';
          return `| \`${name}\` | ${type} |${shown} ${help} |`;
        })
        .join('\n');
    const written = readFileSync(PAGE, 'utf8');
    const head = (ours: boolean) =>
      ours
        ? '| name | type | labels | meaning |\n| --- | --- | --- | --- |\n'
        : '| name | type | meaning |\n| --- | --- | --- |\n';
    const section = (page: string, ours: boolean) =>
      page.replace(
        new RegExp(`(<!-- ${ours ? 'ours' : 'process'} -->\n\n)[\\s\\S]*?(\n\n<!-- end -->)`),
        (_, begin: string, end: string) => begin + head(ours) + table(ours) + end,
      );
    const page = section(section(written, true), false);
    if (process.env.UPDATE) writeFileSync(PAGE, page);
    expect(readFileSync(PAGE, 'utf8')).toBe(page);
    expect(exposed.length).toBeGreaterThan(60);
  });

  it("keep the Go server's names", async () => {
    const text = await new Metrics(sources()).text();
    for (const line of [
      'ociregistry_cached_pulls_by_ns_total{ns="docker.io"} 3',
      'ociregistry_upstream_pulls_by_ns{ns="docker.io"} 2',
      'ociregistry_manifest_pulls_total 5',
      'ociregistry_blob_pulls_total 5',
      'ociregistry_blob_bytes_on_disk_total 5',
      'ociregistry_manifest_bytes_on_disk_total 3',
      'ociregistry_cached_manifest_count 2',
      'ociregistry_cached_blob_count 4',
      'ociregistry_v2_api_endpoint_hits_total 0',
      'ociregistry_api_errors_total 4',
    ])
      expect(text.split('\n')).toContain(line);
  });

  it('add histograms up as Prometheus wants them', async () => {
    const text = await new Metrics(sources()).text();
    const value = (rest: string) =>
      Number(text.split(`ociregistry_request_duration_seconds${rest} `)[1]?.split('\n')[0]);
    expect(value('_bucket{kind="blob",outcome="hit",le="0.0005"}')).toBe(1);
    expect(value('_bucket{kind="blob",outcome="hit",le="+Inf"}')).toBe(1);
    expect(value('_bucket{kind="blob",outcome="stale-on-error",le="1"}')).toBe(0);
    expect(value('_bucket{kind="blob",outcome="stale-on-error",le="2.5"}')).toBe(1);
    expect(value('_sum{kind="blob",outcome="stale-on-error"}')).toBe(2);
    expect(value('_count{kind="blob",outcome="stale-on-error"}')).toBe(1);
  });

  it('show a bounded number of upstreams, whatever is asked for', async () => {
    const from = sources();
    for (let n = 0; n < 5000; n++) {
      from.traffic.of(`host-${n}.example`, 'blob').hits++;
    }
    const many = Array.from({ length: 5000 }, (_, n) => ({ upstream: `host-${n}.example`, configured: n === 4999 }));
    const text = await new Metrics({ ...from, upstreams: { list: async () => many } }).text();
    const upstreams = new Set([...text.matchAll(/upstream="([^"]+)"/g)].map(([, name]) => name));
    expect(upstreams.size).toBeLessThanOrEqual(402);
    // What is configured is never among those that are left out.
    expect(text).toContain('ociregistry_upstream_failing{upstream="host-4999.example"} 0');
    expect(text).toContain('ociregistry_content_requests_total{upstream="other",kind="blob",result="hit"}');
  });

  it('come without what cannot be asked, and do not wait for it a second time', async () => {
    let asked = 0;
    const never = new Promise<never>(() => {});
    const metrics = new Metrics({
      ...sources(),
      catalog: {
        counts() {
          asked++;
          return never;
        },
      },
      bus: { depth: () => Promise.reject(new Error('away')), oldest: () => never },
      pool: () => undefined,
    });
    await metrics.text();
    const text = await metrics.text();
    expect(asked).toBe(1);
    expect(text).toContain('# TYPE ociregistry_cached_blob_count gauge');
    expect(text).not.toMatch(/^ociregistry_(cached_blob_count|queue_depth|database_connections)/m);
    expect(text).toContain('ociregistry_upstream_quota_remaining{upstream="docker.io"} 7');
  });
});
