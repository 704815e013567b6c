import { type Bus, LANES } from '#bus';
import type { Catalog } from '#catalog';
import type { UpstreamStates, UpstreamStatus } from '#registry';
import { Lately } from './lately.js';
import { gauge, type Metric } from './metric.js';

export interface InstallationPorts {
  readonly catalog: Pick<Catalog, 'counts'>;
  readonly bus: Pick<Bus, 'depth' | 'oldest'>;
  readonly upstreams: Pick<UpstreamStates, 'list'>;
}

const COUNT_EVERY_MS = 10_000;
const ASK_EVERY_MS = 2_000;
/** Upstreams that are told apart; who pulls from more names those that matter in the configuration. */
const MOST_UPSTREAMS = 200;

/**
 * What is the same seen from every process: the cache, the queue, the upstreams. None of it is asked for while a scrape
 * waits, but for the first one.
 */
export function installationMetrics({ catalog, bus, upstreams }: InstallationPorts): {
  readonly metrics: Metric[];
  first(ms: number): Promise<void>;
} {
  const counts = new Lately(() => catalog.counts(), COUNT_EVERY_MS);
  const queue = new Lately(async () => {
    const [depth, oldest] = await Promise.all([bus.depth(), bus.oldest()]);
    return { depth, oldest };
  }, ASK_EVERY_MS);
  const states = new Lately(
    async () => (await upstreams.list()).sort(configuredFirst).slice(0, MOST_UPSTREAMS),
    ASK_EVERY_MS,
  );

  const counted = (of: keyof Awaited<ReturnType<Catalog['counts']>>) => () =>
    counts.value ? [{ value: counts.value[of] }] : [];
  const lanes = (of: 'depth' | 'oldest', unit: number) =>
    function* () {
      if (queue.value) for (const lane of LANES) yield { value: queue.value[of][lane] / unit, labels: { lane } };
    };
  const each = (of: (status: UpstreamStatus) => number | undefined) =>
    function* () {
      for (const status of states.value ?? []) {
        const value = of(status);
        if (value !== undefined) yield { value, labels: { upstream: status.upstream } };
      }
    };
  return {
    first: async (ms) => void (await Promise.all([counts, queue, states].map((each) => each.first(ms)))),
    metrics: [
      gauge('blob_bytes_on_disk_total', 'Bytes of the cached blobs.', [], counted('blobBytes')),
      gauge('manifest_bytes_on_disk_total', 'Bytes of the cached manifests.', [], counted('manifestBytes')),
      gauge('cached_manifest_count', 'Cached manifests.', [], counted('manifests')),
      gauge('cached_blob_count', 'Cached blobs.', [], counted('blobs')),
      gauge('cached_tags', 'Tags of cached images.', [], counted('tags')),
      gauge('cached_repositories', 'Repositories of which something is cached.', [], counted('repositories')),
      gauge('queue_depth', 'Pulls that wait or run.', ['lane'], lanes('depth', 1)),
      gauge('queue_oldest_seconds', 'Age of the oldest of them.', ['lane'], lanes('oldest', 1000)),
      gauge(
        'upstream_quota_limit',
        'Requests that the upstream allows in a window.',
        ['upstream'],
        each((s) => s.quota?.limit),
      ),
      gauge(
        'upstream_quota_remaining',
        'Requests that are left of it, as last told.',
        ['upstream'],
        each((s) => s.quota?.remaining),
      ),
      gauge(
        'upstream_quota_window_seconds',
        'Length of that window.',
        ['upstream'],
        each((s) => s.quota?.window),
      ),
      gauge(
        'upstream_quota_age_seconds',
        'Time since the upstream told.',
        ['upstream'],
        each((s) => s.quota && s.quota.age / 1000),
      ),
      gauge('upstream_paused', '1 while requests to the upstream rest, by cause.', ['upstream', 'cause'], function* () {
        for (const { upstream, pause } of states.value ?? [])
          if (pause) yield { value: 1, labels: { upstream, cause: pause.cause } };
      }),
      gauge(
        'upstream_pause_seconds',
        'For how long they rest yet.',
        ['upstream'],
        each((s) => s.pause && s.pause.remaining / 1000),
      ),
      gauge(
        'upstream_failing',
        '1 while a puller leaves the upstream alone after repeated failures, else 0.',
        ['upstream'],
        each((s) => (s.failingFor === undefined ? 0 : 1)),
      ),
    ],
  };
}

function configuredFirst(a: UpstreamStatus, b: UpstreamStatus): number {
  return Number(b.configured) - Number(a.configured);
}
