import { LRUCache } from 'lru-cache';
import { Failure, type FailureRecord, type Target } from '#oci';
import type { Claim, ClaimRef, PullLedger, PullRow } from '../port.js';
import { pulls } from '../statements/index.js';
import type { Connection } from './connection.js';
import { isValueError } from './failures.js';
import { LOST, PostgresPullLedger } from './ledger.js';

/** One pull as this process knows it. Times by `performance.now()`. */
interface Entry {
  readonly key: string;
  readonly target: Target;
  /** JSON */
  readonly targetText: string;
  readonly worker: string;
  readonly attempt: number;
  readonly token: string;
  readonly startedAt: number;
  /** How the pull before this one ended, if this process saw it. */
  readonly previous?: { readonly failure?: FailureRecord; readonly at: number };
  state: 'running' | 'finished';
  leaseUntil: number;
  changedAt: number;
  relay?: unknown;
  size?: number;
  failure?: FailureRecord;
}

/** Milliseconds from a change to its row: most pulls begin and end within, and cost one row. */
const LINGER = 100;
const AFTER_TROUBLE = 1_000;
const PER_STATEMENT = 500;
/** Rows that wait for a database that is away; beyond, the oldest finished ones are not recorded. */
const MOST_UNWRITTEN = 20_000;
/** Finished pulls whose end is remembered here; of older ones the row tells. */
const MOST_FINISHED = 5_000;

/**
 * The ledger of a process that is alone with its database. Whoever may claim a pull is decided here, without a question,
 * and the rows follow in batches: they are for people, for `find` after this process's memory, and for the count of
 * attempts when a pull takes the process down. Losing the last rows in a crash costs nothing but history: what a pull
 * has brought is recorded by itself.
 */
export class OwnPullLedger implements PullLedger {
  private readonly rows: PostgresPullLedger;
  private readonly running = new Map<string, Entry>();
  private readonly finished = new LRUCache<string, Entry>({ max: MOST_FINISHED });
  private unwritten = new Map<string, Entry>();
  private timer: NodeJS.Timeout | undefined;
  private writing: Promise<void> | undefined;
  private tokens = 0;

  private constructor(
    private readonly connection: Connection,
    /** Attempts of pulls that a dead process was working on, by key. */
    private readonly lost: Map<string, number>,
  ) {
    this.rows = new PostgresPullLedger(connection);
  }

  static async open(connection: Connection): Promise<OwnPullLedger> {
    const lost = await connection.query<{ key: string; attempt: number }>(pulls.findLostPulls, []);
    return new OwnPullLedger(connection, new Map(lost.map(({ key, attempt }) => [key, attempt])));
  }

  async claim(key: string, target: Target, worker: string, leaseMs: number): Promise<Claim> {
    const now = performance.now();
    const held = this.running.get(key);
    if (held && held.leaseUntil > now)
      return { outcome: 'held', worker: held.worker, remaining: held.leaseUntil - now };
    const targetText = JSON.stringify(target);
    if (targetText.includes('\\u0000')) throw new Failure('INTERNAL', 'a target with a NUL cannot be recorded');
    const ended = this.finished.get(key);
    const previous = held ? held.previous : ended && { failure: ended.failure, at: ended.changedAt };
    const entry: Entry = {
      key,
      target,
      targetText,
      worker,
      attempt: 1 + (held?.attempt ?? this.lost.get(key) ?? 0),
      token: `${++this.tokens}`,
      startedAt: held?.startedAt ?? now,
      state: 'running',
      leaseUntil: now + leaseMs,
      changedAt: now,
      ...(previous ? { previous } : {}),
    };
    this.lost.delete(key);
    this.finished.delete(key);
    this.running.set(key, entry);
    this.changed(entry);
    return {
      outcome: 'claimed',
      ref: { key, worker, attempt: entry.attempt, token: entry.token },
      ...(previous
        ? { previous: { ...(previous.failure ? { failure: previous.failure } : {}), age: now - previous.at } }
        : {}),
    };
  }

  async renew(ref: ClaimRef, leaseMs: number): Promise<boolean> {
    const entry = this.held(ref);
    if (!entry) return false;
    entry.leaseUntil = performance.now() + leaseMs;
    return true;
  }

  async announce(ref: ClaimRef, relay: unknown, size: number | undefined): Promise<boolean> {
    const entry = this.held(ref);
    if (!entry) return false;
    entry.relay = relay ?? undefined;
    entry.size = size;
    entry.changedAt = performance.now();
    this.changed(entry);
    return true;
  }

  async finish(ref: ClaimRef, failure?: FailureRecord): Promise<boolean> {
    const entry = this.held(ref);
    if (entry) this.end(entry, failure);
    return entry !== undefined;
  }

  async release(ref: ClaimRef): Promise<boolean> {
    if (!this.held(ref)) return false;
    this.running.delete(ref.key);
    await this.writing?.catch(() => {});
    this.unwritten.delete(ref.key);
    await this.connection.execute(pulls.removePull, [ref.key]);
    return true;
  }

  async find(key: string): Promise<PullRow | undefined> {
    const entry = this.running.get(key) ?? this.finished.get(key);
    if (!entry) return this.rows.find(key);
    const { target, state, attempt, worker, relay, size, failure } = entry;
    const now = performance.now();
    return {
      key,
      target,
      state,
      attempt,
      worker,
      leaseRemaining: entry.leaseUntil - now,
      age: now - entry.changedAt,
      ...(relay === undefined ? {} : { relay }),
      ...(size === undefined ? {} : { size }),
      ...(failure === undefined ? {} : { failure }),
    };
  }

  async expire(ms: number): Promise<number> {
    await this.flush();
    const now = performance.now();
    for (const [key, entry] of [...this.finished.entries()]) if (now - entry.changedAt >= ms) this.finished.delete(key);
    return this.rows.expire(ms);
  }

  async endLost(ms: number): Promise<number> {
    const now = performance.now();
    const over = [...this.running.values()].filter(({ leaseUntil }) => leaseUntil < now - ms);
    for (const entry of over) this.end(entry, LOST);
    await this.flush();
    this.lost.clear();
    return over.length + (await this.rows.endLost(ms, [...this.running.keys()]));
  }

  /** What is known is in the rows when this resolves; rejects as a statement does. */
  async flush(): Promise<void> {
    while (this.unwritten.size > 0 || this.writing) await this.writeOnce();
  }

  /** Writes what it can. */
  async close(): Promise<void> {
    clearTimeout(this.timer);
    await this.flush().catch(() => {});
    clearTimeout(this.timer);
  }

  private end(entry: Entry, failure: FailureRecord | undefined): void {
    entry.state = 'finished';
    entry.relay = undefined;
    entry.failure = failure;
    entry.changedAt = performance.now();
    this.running.delete(entry.key);
    this.finished.set(entry.key, entry);
    this.changed(entry);
  }

  private held({ key, worker, attempt, token }: ClaimRef): Entry | undefined {
    const entry = this.running.get(key);
    return entry?.worker === worker && entry.attempt === attempt && entry.token === token ? entry : undefined;
  }

  private changed(entry: Entry): void {
    this.unwritten.set(entry.key, entry);
    if (this.unwritten.size > MOST_UNWRITTEN) this.forgetOne();
    this.writeIn(LINGER);
  }

  private forgetOne(): void {
    for (const [key, { state }] of this.unwritten) {
      if (state === 'running') continue;
      this.unwritten.delete(key);
      return;
    }
  }

  private writeIn(ms: number): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.writeOnce().then(
        () => this.unwritten.size > 0 && this.writeIn(LINGER),
        // What could not be written is there for the next try.
        () => this.writeIn(AFTER_TROUBLE),
      );
    }, ms).unref();
  }

  private writeOnce(): Promise<void> {
    this.writing ??= this.write().finally(() => {
      this.writing = undefined;
    });
    return this.writing;
  }

  private async write(): Promise<void> {
    const entries = [...this.unwritten.values()].slice(0, PER_STATEMENT);
    for (const { key } of entries) this.unwritten.delete(key);
    try {
      await this.record(entries);
    } catch (error) {
      // What a newer change has not replaced meanwhile is tried again.
      for (const entry of entries) if (!this.unwritten.has(entry.key)) this.unwritten.set(entry.key, entry);
      throw error;
    }
  }

  private async record(entries: Entry[]): Promise<void> {
    const now = performance.now();
    const json = (value: unknown) => (value === undefined ? null : JSON.stringify(value));
    try {
      await this.connection.execute(pulls.recordPulls, [
        entries.map((entry) => entry.key),
        entries.map((entry) => entry.targetText),
        entries.map((entry) => entry.state),
        entries.map((entry) => entry.attempt),
        entries.map((entry) => entry.worker),
        entries.map((entry) => entry.leaseUntil - now),
        entries.map((entry) => now - entry.changedAt),
        entries.map((entry) => now - entry.startedAt),
        entries.map((entry) => json(entry.relay)),
        entries.map((entry) => entry.size ?? null),
        entries.map((entry) => json(entry.failure)),
        entries.map((entry) => json(entry.previous?.failure)),
        entries.map((entry) => (entry.previous ? now - entry.previous.at : null)),
      ]);
    } catch (error) {
      if (!isValueError(error)) throw error;
      // History that PostgreSQL does not take is not worth the rest of it.
      if (entries.length > 1) for (const entry of entries) await this.record([entry]);
    }
  }
}
