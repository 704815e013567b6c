import { collectDefaultMetrics, Registry as Exposition } from 'prom-client';
import type { PoolState } from '#catalog';
import type { Transfers } from '#registry';
import type { PullCounters } from '../pull-counters.js';
import type { Traffic } from '../traffic.js';
import { type InstallationPorts, installationMetrics } from './installation.js';
import type { Metric } from './metric.js';
import { type About, processMetrics } from './process.js';
import { pullMetrics } from './pulls.js';
import { requestMetrics } from './requests.js';

export interface MetricSources extends InstallationPorts {
  readonly about: About;
  readonly traffic: Traffic;
  readonly pulls: PullCounters;
  readonly transfers: Pick<Transfers, 'all'>;
  /** Undefined while the database has not been reached. */
  pool(): PoolState | undefined;
}

const PREFIX = 'ociregistry_';
/** The first scrape of a process waits this long for what has to be asked for. Milliseconds. */
const FIRST_MS = 2_000;

/** Everything that is measured, in the text format of Prometheus. Reading changes nothing and asks nobody. */
export class Metrics {
  private readonly exposition = new Exposition();
  private readonly first: (ms: number) => Promise<void>;
  private began = false;

  constructor(sources: MetricSources) {
    const installation = installationMetrics(sources);
    this.first = installation.first;
    collectDefaultMetrics({ register: this.exposition, eventLoopMonitoringPrecision: 20 });
    for (const metric of [
      ...requestMetrics(sources.traffic),
      ...pullMetrics(sources.pulls, sources.transfers),
      ...installation.metrics,
      ...processMetrics(sources.about, () => sources.pool()),
    ])
      this.exposition.registerMetric(exposed(metric));
  }

  get contentType(): string {
    return this.exposition.contentType;
  }

  async text(): Promise<string> {
    if (!this.began) await this.first(FIRST_MS);
    this.began = true;
    return this.exposition.metrics();
  }
}

type Registered = Parameters<Exposition['registerMetric']>[0];

/** What the library asks of a metric when it writes it; its own classes would each keep a second copy of our numbers. */
function exposed({ name, type, help, read }: Metric): Registered {
  const full = PREFIX + name;
  const get = async () => ({
    name: full,
    type,
    help,
    values: [...read()].map(({ suffix, value, labels = {} }) => ({
      value,
      labels,
      ...(suffix ? { metricName: full + suffix } : {}),
    })),
  });
  return { name: full, get } as unknown as Registered;
}
