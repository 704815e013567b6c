import { backoff, Deferred, sleep, unless } from '#async';
import { type Bus, type PullSource, pullKey, type RelayAddress, relayAddressSchema } from '#bus';
import type { PullLedger } from '#catalog';
import { Failure, type FailureRecord } from '#oci';
import type { Log, Relays, RunningTransfer } from '../ports.js';
import { leaseKey, sameRepository } from './lease-key.js';
import { eventOf, type PullRequest } from './pull-request.js';
import { pullLog } from './running-pull.js';
import type { Outcome, Told, WaitOptions, WaitsOptions } from './waiting.js';

export type { Outcome, PullRequest, WaitOptions, WaitsOptions };

const AFTER_END_MS = 50;
const EARLY_LOOKS_MS = [20, 80, 300];

/** One key that somebody in this process waits for. */
interface Wait {
  readonly key: string;
  readonly request: PullRequest;
  readonly log: Log;
  since: number;
  /** Whether the job that will end is one that this wait queued; until the bus has answered (`asked`) nobody knows. */
  queued: boolean;
  /** Settles, never rejects, when the bus has answered the last publish or nobody waits any more. */
  asked: Promise<void>;
  asking: boolean;
  /** Why the bus has not taken the last publish, while that is tried again. */
  away?: Failure;
  /** When a worker was last seen at work; epoch milliseconds. */
  workedOn: number;
  /** Somebody else's job failed, and ours was asked for after it. */
  askedAgain: boolean;
  waiters: number;
  timer: NodeJS.Timeout;
  relay?: RelayAddress;
  source?: PullSource;
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
    private readonly options: WaitsOptions,
  ) {
    this.unsubscribe = [
      bus.onSignal('pull.started', ({ key, relay, source }) => this.started(this.waits.get(key), relay, source)),
      bus.onSignal('pull.finished', ({ key, failure, size, source }) => {
        const wait = this.waits.get(key);
        if (wait && source) wait.source = source;
        this.heardEnd(wait, failure, size);
      }),
    ];
  }

  get size(): number {
    return this.waits.size;
  }

  /** Milliseconds without any progress after which somebody who waits is told so. */
  get timeout(): number {
    return this.options.timeout;
  }

  /** Asks for the pull and does not wait. */
  async request(request: PullRequest): Promise<void> {
    await this.bus.requestPull(eventOf(request));
  }

  /**
   * Waits until the target is present or, with `attach`, runs. Rejects with the pull's own failure, UPSTREAM_TIMEOUT when
   * nothing happened within the time-out, UNAVAILABLE when the bus stays away.
   */
  async wait(request: PullRequest, options: WaitOptions = {}): Promise<Outcome> {
    if (options.since !== undefined) await this.refuseEnded(request, options.since);
    const key = pullKey(request.target);
    let wait = this.waits.get(key);
    const first = !wait;
    wait ??= this.open(key, request);
    wait.waiters++;
    const since = Date.now();
    const { expired, stop } = this.expiry(wait, since, options.patient === true);
    try {
      // The wait is registered before the publish, so no signal can fall between.
      if (first) this.publish(wait);
      for (;;) {
        const changed = wait.changed.promise;
        const told: Told = { shared: !first || !wait.queued, ...(wait.source ? { source: wait.source } : {}) };
        if (wait.finished) {
          if (wait.finished.failure) throw Failure.from(wait.finished.failure);
          return {
            state: 'finished',
            ...told,
            ...(wait.finished.size === undefined ? {} : { size: wait.finished.size }),
          };
        }
        if (options.attach && wait.relay) {
          const transfer = await this.attach(wait, wait.relay, options.signal);
          if (transfer) return { state: 'running', ...told, transfer };
          continue;
        }
        if (wait.away && !options.patient && Date.now() - since >= this.options.busPatience) throw wait.away;
        await unless(options.signal, Promise.race([changed, expired]));
      }
    } finally {
      stop();
      if (--wait.waiters === 0) this.drop(wait);
    }
  }

  close(): void {
    for (const off of this.unsubscribe) off();
    const failure = new Failure('UNAVAILABLE', 'shutting down', { retryAfter: 1 }).toRecord();
    for (const wait of [...this.waits.values()]) this.finished(wait, failure);
  }

  private async refuseEnded({ target }: PullRequest, since: number): Promise<void> {
    const row = await this.ledger.find(leaseKey(target)).catch(() => undefined);
    if (row?.state !== 'finished' || !row.failure || row.failure.retryable || row.age > Date.now() - since) return;
    if (sameRepository(row.target.repository, target.repository)) throw Failure.from(row.failure);
  }

  private open(key: string, request: PullRequest): Wait {
    const wait: Wait = {
      key,
      request,
      log: pullLog(this.log, { key, requestId: request.requestId }),
      since: Date.now(),
      queued: false,
      asked: Promise.resolve(),
      asking: false,
      workedOn: 0,
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
      wait.log.debug({ error: String(error) }, 'transfer cannot be read, waiting for the next signal');
      if (wait.relay === relay) wait.relay = undefined;
      return undefined;
    }
  }

  /** `expired` rejects when nothing has happened for as long as a waiter may wait. */
  private expiry(wait: Wait, since: number, patient: boolean): { expired: Promise<never>; stop(): void } {
    const { timeout } = this.options;
    const expired = new Deferred<never>();
    const look = () => {
      const idle = Date.now() - Math.max(since, patient ? wait.workedOn : 0);
      if (idle < timeout) timer = setTimeout(look, timeout - idle);
      else {
        const silent = new Failure('UPSTREAM_TIMEOUT', undefined, { origin: 'upstream', retryable: true });
        expired.reject(wait.away ?? silent);
      }
    };
    let timer = setTimeout(look, timeout);
    return { expired: expired.promise, stop: () => clearTimeout(timer) };
  }

  private publish(wait: Wait): void {
    if (wait.asking) return;
    wait.asking = true;
    wait.asked = this.ask(wait).finally(() => {
      wait.asking = false;
    });
  }

  /** Until the bus has answered or nobody waits any more; each waiter has a patience of its own. */
  private async ask(wait: Wait): Promise<void> {
    for (let attempt = 0; this.isOpen(wait); attempt++) {
      try {
        const answer = await this.bus.requestPull(eventOf(wait.request));
        wait.away = undefined;
        if (answer === 'queued') wait.queued = true;
        // The job runs already and its signals may have been before our time: the row knows.
        else for (const ms of EARLY_LOOKS_MS) setTimeout(() => this.lookEarly(wait), ms).unref();
        return;
      } catch (error) {
        const failure = Failure.of(error);
        if (failure.reason !== 'UNAVAILABLE') return this.finished(wait, failure.toRecord());
        if (!wait.away) wait.log.warn({ error: String(error) }, 'cannot ask for a pull, trying again');
        wait.away = failure;
        this.wake(wait);
        await sleep(backoff(attempt, 100, 1_000));
      }
    }
  }

  private isOpen(wait: Wait): boolean {
    return !wait.finished && wait.waiters > 0;
  }

  private lookEarly(wait: Wait): void {
    if (this.isOpen(wait) && !wait.relay) void this.look(wait, false);
  }

  /** `mayAsk`: publishes again when nobody works on it. */
  private async look(wait: Wait, mayAsk = true): Promise<void> {
    try {
      const { target } = wait.request;
      // Before the question: what ended while it was on its way counts as older than it is, never as younger.
      const waited = Date.now() - wait.since;
      const row = await this.ledger.find(leaseKey(target));
      if (wait.finished) return;
      const mine = row && sameRepository(row.target.repository, target.repository);
      if (row?.state === 'running' && row.leaseRemaining > 0) {
        wait.workedOn = Date.now();
        const relay = mine ? relayAddressSchema.safeParse(row.relay) : undefined;
        if (relay?.success && !wait.relay) this.started(wait, relay.data);
        if (mine) return;
      } else if (mine && row.state === 'finished' && row.age < waited) {
        return this.heardEnd(wait, row.failure, undefined);
      }
      // Neither running for us nor finished: refused as a duplicate while queued, accepted when the job was lost.
      if (!mayAsk) return;
      wait.relay = undefined;
      this.publish(wait);
    } catch (error) {
      wait.log.debug({ error: String(error) }, 'cannot look at the pull');
    }
  }

  private started(wait: Wait | undefined, relay: RelayAddress, source?: PullSource): void {
    if (!wait) return;
    wait.relay = relay;
    if (source) wait.source = source;
    this.wake(wait);
  }

  /**
   * A request that comes while a failed job is just ending is refused as its duplicate, and then hears of a failure that
   * came before it. Trouble is not remembered: such a wait asks once more for itself. Whose job it was, the bus's answer to
   * the publish tells, which may come after the signal.
   */
  private heardEnd(wait: Wait | undefined, failure: FailureRecord | undefined, size: number | undefined): void {
    if (!wait || !failure || Failure.from(failure).status < 500 || failure.reason === 'CANCELLED') {
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
      if (this.isOpen(wait)) this.publish(wait);
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
}
