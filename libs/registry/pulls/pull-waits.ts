import { Deferred, unless } from '#async';
import {
  type Bus,
  EVENT_MAJOR,
  type Lane,
  type PullRequested,
  pullKey,
  type RelayAddress,
  relayAddressSchema,
} from '#bus';
import type { PullLedger } from '#catalog';
import { Failure, type FailureRecord, type Target } from '#oci';
import type { Log, Relays, RunningTransfer } from '../ports.js';
import { leaseKey, sameRepository } from './lease-key.js';

export interface PullRequest {
  readonly target: Target;
  readonly lane: Lane;
  readonly cause: PullRequested['cause'];
  readonly requestId?: string;
  readonly via?: string;
  readonly maxAge?: number;
}

export interface WaitOptions {
  /** A running transfer is as good as a finished one. */
  readonly attach?: boolean;
  /** Sit out a bus or catalog that is away, up to the time-out: the client has bytes already. */
  readonly patient?: boolean;
  readonly signal?: AbortSignal;
}

/** `shared`: the pull was asked for before by another request. */
export type Outcome =
  /** `size`: of a blob, in bytes, where the one who finished told it. */
  | { readonly state: 'finished'; readonly shared: boolean; readonly size?: number }
  | { readonly state: 'running'; readonly shared: boolean; readonly transfer: RunningTransfer };

const AFTER_END_MS = 50;
const EARLY_LOOKS_MS = [20, 300];

/** One key that somebody in this process waits for. */
interface Wait {
  readonly key: string;
  readonly request: PullRequest;
  since: number;
  /** Whether the job that will end is one that this wait queued; until the bus has answered (`asked`) nobody knows. */
  queued: boolean;
  /** Settles, never rejects, when the bus has answered the last publish. */
  asked: Promise<void>;
  /** Somebody else's job failed, and ours was asked for after it. */
  askedAgain: boolean;
  waiters: number;
  timer: NodeJS.Timeout;
  relay?: RelayAddress;
  finished?: { failure?: FailureRecord; size?: number };
  changed: Deferred;
}

/**
 * The gateway's side of a pull: subscribe, publish, wait, bounded. Callers of one key share one wait.
 * Signals make it fast; the row, read every `poll` ms, makes it right: a lost signal costs at most that long, and a key
 * that is neither queued nor leased any more is published again.
 */
export class PullWaits {
  private readonly waits = new Map<string, Wait>();
  private readonly unsubscribe: (() => void)[];

  constructor(
    private readonly bus: Bus,
    private readonly ledger: PullLedger,
    private readonly relays: Relays,
    private readonly log: Log,
    /** Milliseconds: without any progress; between two looks at the row. */
    private readonly options: { readonly timeout: number; readonly poll: number },
  ) {
    this.unsubscribe = [
      bus.onSignal('pull.started', ({ key, relay }) => this.started(this.waits.get(key), relay)),
      bus.onSignal('pull.finished', ({ key, failure, size }) => this.heardEnd(this.waits.get(key), failure, size)),
    ];
  }

  get size(): number {
    return this.waits.size;
  }

  /** Asks for the pull and does not wait. */
  async request(request: PullRequest): Promise<void> {
    await this.bus.requestPull(this.event(request));
  }

  /**
   * Waits until the target is present or, with `attach`, runs. Rejects with the pull's own failure, UPSTREAM_TIMEOUT when
   * nothing happened within the time-out, UNAVAILABLE when the bus cannot be reached.
   */
  async wait(request: PullRequest, options: WaitOptions = {}): Promise<Outcome> {
    const key = pullKey(request.target);
    let wait = this.waits.get(key);
    const first = !wait;
    wait ??= this.open(key, request);
    wait.waiters++;
    const expired = new Deferred<never>();
    const timer = setTimeout(
      () => expired.reject(new Failure('UPSTREAM_TIMEOUT', undefined, { origin: 'upstream', retryable: true })),
      this.options.timeout,
    );
    try {
      // The wait is registered before the publish, so no signal can fall between.
      if (first) this.publish(wait, options.patient === true);
      for (;;) {
        const changed = wait.changed.promise;
        const shared = !first || !wait.queued;
        if (wait.finished) {
          if (wait.finished.failure) throw Failure.from(wait.finished.failure);
          return {
            state: 'finished',
            shared,
            ...(wait.finished.size === undefined ? {} : { size: wait.finished.size }),
          };
        }
        if (options.attach && wait.relay) {
          const transfer = await this.attach(wait, wait.relay, options.signal);
          if (transfer) return { state: 'running', shared, transfer };
          continue;
        }
        await unless(options.signal, Promise.race([changed, expired.promise]));
      }
    } finally {
      clearTimeout(timer);
      if (--wait.waiters === 0) this.drop(wait);
    }
  }

  close(): void {
    for (const off of this.unsubscribe) off();
    const failure = new Failure('UNAVAILABLE', 'shutting down', { retryAfter: 1 }).toRecord();
    for (const wait of [...this.waits.values()]) this.finished(wait, failure);
  }

  private open(key: string, request: PullRequest): Wait {
    const wait: Wait = {
      key,
      request,
      since: Date.now(),
      queued: false,
      asked: Promise.resolve(),
      askedAgain: false,
      waiters: 0,
      timer: setInterval(() => void this.look(wait), this.options.poll),
      changed: new Deferred(),
    };
    wait.timer.unref();
    this.waits.set(key, wait);
    return wait;
  }

  private async attach(wait: Wait, relay: RelayAddress, signal?: AbortSignal): Promise<RunningTransfer | undefined> {
    try {
      return await this.relays.attach(relay, signal);
    } catch (error) {
      signal?.throwIfAborted();
      this.log.debug({ key: wait.key, error: String(error) }, 'transfer cannot be read, waiting for the next signal');
      if (wait.relay === relay) wait.relay = undefined;
      return undefined;
    }
  }

  private publish(wait: Wait, patient: boolean): void {
    const asked = this.bus.requestPull(this.event(wait.request)).then((answer) => {
      if (answer === 'queued') wait.queued = true;
      // The job runs already and its signals may have been before our time: the row knows.
      else for (const ms of EARLY_LOOKS_MS) setTimeout(() => this.lookEarly(wait), ms).unref();
    });
    wait.asked = asked.catch((error: unknown) => {
      if (patient) return this.log.warn({ key: wait.key, error: String(error) }, 'cannot ask for a pull, trying again');
      this.finished(wait, Failure.of(error).toRecord());
    });
  }

  private lookEarly(wait: Wait): void {
    if (!wait.finished && !wait.relay && wait.waiters > 0) void this.look(wait, false);
  }

  /** `mayAsk`: publishes again when nobody works on it. */
  private async look(wait: Wait, mayAsk = true): Promise<void> {
    try {
      const { target } = wait.request;
      const row = await this.ledger.find(leaseKey(target));
      if (wait.finished) return;
      const mine = row && sameRepository(row.target.repository, target.repository);
      if (row?.state === 'running' && row.leaseRemaining > 0) {
        const relay = mine ? relayAddressSchema.safeParse(row.relay) : undefined;
        if (relay?.success && !wait.relay) this.started(wait, relay.data);
        if (mine) return;
      } else if (mine && row.state === 'finished' && row.age < Date.now() - wait.since) {
        return this.finished(wait, row.failure);
      }
      // Neither running for us nor finished: refused as a duplicate while queued, accepted when the job was lost.
      if (!mayAsk) return;
      wait.relay = undefined;
      this.publish(wait, true);
    } catch (error) {
      this.log.debug({ key: wait.key, error: String(error) }, 'cannot look at the pull');
    }
  }

  private started(wait: Wait | undefined, relay: RelayAddress): void {
    if (!wait) return;
    wait.relay = relay;
    this.wake(wait);
  }

  /**
   * A request that comes while a failed job is just ending is refused as its duplicate, and then hears of a failure that
   * came before it. Trouble is not remembered: such a wait asks once more for itself. Whose job it was, the bus's answer to
   * the publish tells, which may come after the signal.
   */
  private heardEnd(wait: Wait | undefined, failure: FailureRecord | undefined, size: number | undefined): void {
    if (!wait || !failure || Failure.from(failure).status < 500) {
      this.finished(wait, failure, size);
      return;
    }
    void wait.asked.then(() => {
      if (wait.queued || wait.askedAgain) this.finished(wait, failure, size);
      else this.askAgain(wait);
    });
  }

  private askAgain(wait: Wait): void {
    wait.askedAgain = true;
    wait.since = Date.now();
    wait.relay = undefined;
    // The job's message is acknowledged a moment after its signal; should that take longer, the look at the row asks again.
    setTimeout(() => {
      if (!wait.finished && wait.waiters > 0) this.publish(wait, true);
    }, AFTER_END_MS).unref();
  }

  private finished(wait: Wait | undefined, failure: FailureRecord | undefined, size?: number): void {
    if (!wait || wait.finished) return;
    wait.finished = { ...(failure ? { failure } : {}), ...(size === undefined ? {} : { size }) };
    this.drop(wait);
    this.wake(wait);
  }

  private drop(wait: Wait): void {
    clearInterval(wait.timer);
    if (this.waits.get(wait.key) === wait) this.waits.delete(wait.key);
  }

  private wake(wait: Wait): void {
    const { changed } = wait;
    wait.changed = new Deferred();
    changed.resolve();
  }

  private event(request: PullRequest): PullRequested {
    return { v: EVENT_MAJOR, key: pullKey(request.target), ...request };
  }
}
