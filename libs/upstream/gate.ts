import { sleep } from '#async';
import { Failure } from '#oci';
import { Breaker } from './breaker.js';
import { upstreamFailure } from './failures.js';
import type { BreakerOptions } from './options.js';
import type { Pause, Priority, Quota } from './port.js';
import { type Counted, countsOnlySome, isCounted } from './quota.js';

export interface GateOptions {
  /** Milliseconds that an interactive request waits for the end of a pause before it is refused. */
  readonly hold: number;
  readonly breaker: BreakerOptions;
  onPaused(pause: Pause): void;
  /** `until` in epoch milliseconds. */
  onFailing(until: number): void;
}

export interface Turn extends Counted {
  readonly priority: Priority;
  readonly signal?: AbortSignal;
  /** Told the milliseconds that it was held. */
  readonly onHeld?: (ms: number) => void;
}

/** A 429 without Retry-After: the pause doubles with each in a row. Milliseconds. */
const FIRST_PAUSE = 10_000;
const LONGEST_GUESS = 300_000;
/** Registries do not say when a sliding window has room again: one request finds out after this. Milliseconds. */
const EXHAUSTED = 60_000;
/** The last part of a window is for those who wait. */
const RESERVED = 0.1;
/** Milliseconds that a count is believed; other installations use the same account. */
const QUOTA_LIFE = 600_000;

/**
 * What keeps us from asking an endpoint now: a pause that it (or an operator) demanded, a window that is nearly used up, or
 * a breaker that is open.
 */
export class Gate {
  quota: Quota | undefined;
  private readonly breaker: Breaker;
  private current: Pause | undefined;
  private limitedInARow = 0;

  constructor(
    private readonly host: string,
    private readonly options: GateOptions,
  ) {
    this.breaker = new Breaker(options.breaker, (until) => options.onFailing(until));
  }

  /** Runs `work` when it may. Rejects RATE_LIMITED or UPSTREAM_PAUSED with the time to wait, else as `work` does. */
  async run<T>(turn: Turn, work: () => Promise<T>): Promise<T> {
    const deadline = Date.now() + (turn.priority === 'interactive' ? this.options.hold : 0);
    for (let tries = 1; ; tries++) {
      await this.enter(turn, deadline);
      try {
        const result = await this.breaker.run(work);
        if (isCounted(this.host, turn)) this.limitedInARow = 0;
        return result;
      } catch (error) {
        if (!(error instanceof Failure) || error.reason !== 'RATE_LIMITED') throw error;
        const until = this.limited(turn, error.retryAfter);
        if (tries > 1 || until > deadline) throw refusal('rate-limited', until - Date.now(), error);
      }
    }
  }

  /** What an answer told about its limits. */
  observe(quota: Quota): void {
    this.quota = quota;
    if (quota.remaining > 0 || this.pause) return;
    const window = (quota.window ?? Number.POSITIVE_INFINITY) * 1000;
    const rest = quota.reset === undefined ? Math.min(window, EXHAUSTED) : Math.max(1, quota.reset) * 1000;
    this.rest({ cause: 'exhausted', until: quota.at + rest, countedOnly: countsOnlySome(this.host) });
  }

  get pause(): Pause | undefined {
    return this.current && this.current.until > Date.now() ? this.current : undefined;
  }

  /** What others found out, or an operator wants; told to nobody. */
  set pause(pause: Pause | undefined) {
    this.current = pause;
  }

  /** Epoch milliseconds until which the breaker refuses calls; undefined while it is closed. */
  get failingUntil(): number | undefined {
    return this.breaker.openUntil;
  }

  /** Milliseconds that such a request has to wait; 0: it may go. */
  waitFor({ priority, ...request }: Omit<Turn, 'signal' | 'onHeld'>): number {
    const counted = isCounted(this.host, request);
    const { pause } = this;
    if (pause && (counted || !pause.countedOnly)) return pause.until - Date.now();
    return priority === 'background' && counted && this.nearlyUsedUp() ? EXHAUSTED : 0;
  }

  private async enter(turn: Turn, deadline: number): Promise<void> {
    for (;;) {
      const wait = this.waitFor(turn);
      if (wait <= 0) return;
      if (Date.now() + wait > deadline) throw refusal(this.pause?.cause ?? 'exhausted', wait);
      await sleep(wait, turn.signal);
      turn.onHeld?.(Math.round(wait));
    }
  }

  /** A 429. Returns until when it rests, in epoch ms. */
  private limited(turn: Turn, retryAfter: number | undefined): number {
    const guess = Math.min(LONGEST_GUESS, FIRST_PAUSE * 2 ** Math.min(this.limitedInARow++, 10));
    const until = Date.now() + (retryAfter === undefined ? guess : Math.max(1, retryAfter) * 1000);
    // Whoever refuses what is free refuses everything.
    this.rest({ cause: 'rate-limited', until, countedOnly: countsOnlySome(this.host) && isCounted(this.host, turn) });
    return until;
  }

  private rest(pause: Pause): void {
    const { pause: held } = this;
    if (held && held.until >= pause.until && (!held.countedOnly || pause.countedOnly)) return;
    this.current = pause;
    this.options.onPaused(pause);
  }

  private nearlyUsedUp(): boolean {
    const { quota } = this;
    if (!quota) return false;
    const life = Math.min((quota.reset ?? quota.window ?? Number.POSITIVE_INFINITY) * 1000, QUOTA_LIFE);
    return Date.now() < quota.at + life && quota.remaining <= quota.limit * RESERVED;
  }
}

function refusal(cause: Pause['cause'], wait: number, told?: unknown): Failure {
  const details = { retryable: true, retryAfter: Math.max(1, Math.ceil(wait / 1000)), cause: told };
  return cause === 'manual'
    ? upstreamFailure('UPSTREAM_PAUSED', 'the upstream registry is paused by the operator', details)
    : upstreamFailure('RATE_LIMITED', undefined, details);
}
