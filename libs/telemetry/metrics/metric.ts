import type { Distribution } from '../distribution.js';

export type Labels = Readonly<Record<string, string>>;

interface Sample {
  readonly value: number;
  readonly labels?: Labels;
}

/** One metric: how it is described, and its samples as they are when it is read. */
export interface Metric {
  /** Without `ociregistry_`. */
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  /** Labels that its samples carry; of a histogram besides `le`. */
  readonly labels?: readonly string[];
  read(): Iterable<Sample & { readonly suffix?: string }>;
}

export function counter(name: string, help: string, labels: readonly string[], read: Metric['read']): Metric {
  return { name, type: 'counter', help, labels, read };
}

export function gauge(name: string, help: string, labels: readonly string[], read: Metric['read']): Metric {
  return { name, type: 'gauge', help, labels, read };
}

export function histogram(
  name: string,
  help: string,
  labels: readonly string[],
  read: () => Iterable<{ readonly labels?: Labels; readonly distribution: Distribution }>,
): Metric {
  return {
    name,
    type: 'histogram',
    help,
    labels,
    *read() {
      for (const { labels: own = {}, distribution } of read()) yield* samplesOf(distribution, own);
    },
  };
}

/** Prometheus adds buckets up; the last one holds everything. */
function* samplesOf({ bounds, counts, sum }: Distribution, labels: Labels) {
  let total = 0;
  for (const [place, count] of counts.entries()) {
    total += count;
    const le = place < bounds.length ? String(bounds[place]) : '+Inf';
    yield { suffix: '_bucket', value: total, labels: { ...labels, le } };
  }
  yield { suffix: '_sum', value: sum, labels };
  yield { suffix: '_count', value: total, labels };
}
