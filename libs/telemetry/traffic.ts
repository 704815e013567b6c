import { PeriodicWriter } from '#async';
import type { UsageCounts, UsageLedger } from '#catalog';
import type { Log } from '#registry';
import { Distribution } from './distribution.js';

export type Kind = UsageCounts['kind'];
export const KINDS: readonly Kind[] = ['manifest', 'blob', 'list'];

/** How an answer came about: what `Server-Timing` says, or `failure`. A handful of words. */
export type AnswerOutcome = string;

/** Counters of one upstream and kind, since the process began. */
export type Counters = { -readonly [K in Exclude<keyof UsageCounts, 'upstream' | 'kind'>]: number };

/** Upstreams that are told apart; more are counted as one, so that nobody can make the metrics grow for ever. */
const MOST_UPSTREAMS = 200;
const OTHERS = 'other';

/** What this process serves and fetches: plain numbers, added on the way and read by others. */
export class Traffic {
  private readonly byUpstream = new Map<string, Record<Kind, Counters>>();
  /** Seconds until the answer was handed over, by kind and outcome. */
  readonly latency: Readonly<Record<Kind, Map<AnswerOutcome, Distribution>>> = {
    manifest: new Map(),
    blob: new Map(),
    list: new Map(),
  };
  /** By status, of every request of the pull API. */
  readonly requests = new Map<number, number>();
  /** Requests of the pull API. */
  total = 0;
  /** Lines of the access log that were more than can be written. */
  linesDropped: () => number = () => 0;

  of(upstream: string, kind: Kind): Counters {
    return this.kinds(upstream)[kind];
  }

  observe(kind: Kind, outcome: AnswerOutcome, seconds: number): void {
    let distribution = this.latency[kind].get(outcome);
    if (!distribution) {
      distribution = new Distribution();
      this.latency[kind].set(outcome, distribution);
    }
    distribution.observe(seconds);
  }

  *entries(): IterableIterator<{ upstream: string; kind: Kind; counters: Counters }> {
    for (const [upstream, kinds] of this.byUpstream)
      for (const kind of KINDS) yield { upstream, kind, counters: kinds[kind] };
  }

  private kinds(upstream: string): Record<Kind, Counters> {
    const known = this.byUpstream.get(upstream);
    if (known) return known;
    if (this.byUpstream.size >= MOST_UPSTREAMS && upstream !== OTHERS) return this.kinds(OTHERS);
    const kinds = { manifest: zero(), blob: zero(), list: zero() };
    this.byUpstream.set(upstream, kinds);
    return kinds;
  }
}

function zero(): Counters {
  return { hits: 0, misses: 0, failures: 0, bytesServed: 0, bytesFetched: 0, upstreamRequests: 0 };
}

/** Adds what the traffic has grown by to the usage of all processes, every `every` ms and at the end. */
export class UsageBook extends PeriodicWriter {
  private readonly written = new Map<string, Counters>();

  constructor(
    private readonly traffic: Traffic,
    private readonly ledger: Pick<UsageLedger, 'add'>,
    private readonly log: Log,
    every: number,
  ) {
    super(every);
  }

  protected async write(): Promise<void> {
    const now: [string, Counters][] = [];
    const growth: UsageCounts[] = [];
    for (const { upstream, kind, counters } of this.traffic.entries()) {
      const key = `${upstream} ${kind}`;
      const before = this.written.get(key) ?? zero();
      const grown = Object.fromEntries(
        Object.entries(counters).map(([name, value]) => [name, value - before[name as keyof Counters]]),
      ) as Counters;
      if (Object.values(grown).every((value) => value === 0)) continue;
      now.push([key, { ...counters }]);
      growth.push({ upstream, kind, ...grown });
    }
    if (growth.length === 0) return;
    try {
      await this.ledger.add(growth);
      for (const [key, counters] of now) this.written.set(key, counters);
    } catch (error) {
      this.log.debug({ error: String(error) }, 'cannot write usage, trying again');
    }
  }
}
