/** What was served and fetched, of one upstream and kind of content. */
export interface UsageCounts {
  readonly upstream: string;
  readonly kind: 'manifest' | 'blob' | 'list';
  /** Requests answered without waiting for the upstream. */
  readonly hits: number;
  readonly misses: number;
  /** Requests that were refused or broke. */
  readonly failures: number;
  readonly bytesServed: number;
  readonly bytesFetched: number;
  readonly upstreamRequests: number;
}

/** Counters of all processes in time buckets of five minutes. */
export interface UsageLedger {
  /** Adds to the bucket of now. */
  add(counts: readonly UsageCounts[]): Promise<void>;
  /** Sums by upstream and kind over the last `ms`, to the bucket. */
  totals(ms: number): Promise<readonly UsageCounts[]>;
  /** Removes what is older than `ms`; how many rows. */
  expire(ms: number): Promise<number>;
}
