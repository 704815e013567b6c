import { Failure, type FailureRecord, type Target } from '#oci';
import type { Claim, ClaimRef, PullLedger, PullRow } from '../port.js';
import { EXPIRE_AT_MOST, pulls, type Statement } from '../statements/index.js';
import { Batcher } from './batcher.js';
import type { Connection } from './connection.js';
import { isValueError, overloaded } from './failures.js';

interface Wanted {
  readonly key: string;
  readonly target: Target;
  readonly worker: string;
  readonly leaseMs: number;
}

/** A change of a claimed pull; `values` are those of the statement's own columns. */
interface Change {
  readonly ref: ClaimRef;
  readonly values: readonly unknown[];
}

interface ClaimedRow {
  key: string;
  attempt: number;
  token: string;
  previous_failure: FailureRecord | null;
  previous_age: number | null;
}

interface FoundRow {
  key: string;
  target: Target;
  state: 'running' | 'finished';
  attempt: number;
  worker: string;
  relay: unknown;
  size: string | null;
  failure: FailureRecord | null;
  lease_remaining: number;
  age: number;
}

const MAX_TRIES = 3;

/** How a pull ended that nobody took over. */
export const LOST = new Failure('UNAVAILABLE', 'its puller was lost, and nobody asked for it again').toRecord();

const batching = {
  maxBatch: 200,
  maxWaiting: 20_000,
  maxWait: 10_000,
  concurrency: 2,
  isolate: isValueError,
  overloaded: () => overloaded('pulls'),
};

export class PostgresPullLedger implements PullLedger {
  private readonly claims: Batcher<Wanted, Claim>;
  private readonly renewals: Batcher<Change, boolean>;
  private readonly announcements: Batcher<Change, boolean>;
  private readonly finishes: Batcher<Change, boolean>;
  private readonly releases: Batcher<Change, boolean>;

  constructor(private readonly connection: Connection) {
    this.claims = new Batcher((items) => this.claimAll(items), { ...batching, keyOf: (item) => item.key });
    const changes = (statement: Statement) =>
      new Batcher<Change, boolean>((items) => this.change(statement, items), {
        ...batching,
        keyOf: (item) => item.ref.key,
      });
    this.renewals = changes(pulls.renewPulls);
    this.announcements = changes(pulls.announcePulls);
    this.finishes = changes(pulls.finishPulls);
    this.releases = changes(pulls.releasePulls);
  }

  claim(key: string, target: Target, worker: string, leaseMs: number): Promise<Claim> {
    return this.claims.submit({ key, target, worker, leaseMs });
  }

  renew(ref: ClaimRef, leaseMs: number): Promise<boolean> {
    return this.renewals.submit({ ref, values: [leaseMs] });
  }

  announce(ref: ClaimRef, relay: unknown, size: number | undefined): Promise<boolean> {
    return this.announcements.submit({ ref, values: [JSON.stringify(relay), size ?? null] });
  }

  finish(ref: ClaimRef, failure?: FailureRecord): Promise<boolean> {
    return this.finishes.submit({ ref, values: [failure ? JSON.stringify(failure) : null] });
  }

  release(ref: ClaimRef): Promise<boolean> {
    return this.releases.submit({ ref, values: [] });
  }

  async find(key: string): Promise<PullRow | undefined> {
    const [row] = await this.connection.query<FoundRow>(pulls.findPull, [key]);
    if (!row) return undefined;
    return {
      key: row.key,
      target: row.target,
      state: row.state,
      attempt: row.attempt,
      worker: row.worker,
      leaseRemaining: row.lease_remaining,
      age: row.age,
      ...(row.relay === null ? {} : { relay: row.relay }),
      ...(row.size === null ? {} : { size: Number(row.size) }),
      ...(row.failure === null ? {} : { failure: row.failure }),
    };
  }

  async expire(ms: number): Promise<number> {
    let removed = 0;
    for (;;) {
      const some = await this.connection.execute(pulls.expirePulls, [ms]);
      removed += some;
      if (some < EXPIRE_AT_MOST) return removed;
    }
  }

  /** `mine`: keys of pulls that this process knows to be running. */
  async endLost(ms: number, mine: readonly string[] = []): Promise<number> {
    let ended = 0;
    for (;;) {
      const some = await this.connection.execute(pulls.endLostPulls, [ms, mine, JSON.stringify(LOST)]);
      ended += some;
      if (some < EXPIRE_AT_MOST) return ended;
    }
  }

  private async claimAll(items: Wanted[]): Promise<Claim[]> {
    const claims = new Map<string, Claim>();
    let open = items;
    for (let tries = 0; open.length > 0; tries++) {
      // Only a row that `expire` removed between the two statements is neither claimed nor held.
      if (tries >= MAX_TRIES) throw overloaded('pulls');
      for (const row of await this.connection.query<ClaimedRow>(pulls.claimPulls, [
        open.map((item) => item.key),
        open.map((item) => JSON.stringify(item.target)),
        open.map((item) => item.worker),
        open.map((item) => item.leaseMs),
      ])) {
        const { worker } = open.find((item) => item.key === row.key) as Wanted;
        claims.set(row.key, claimed(row, worker));
      }
      open = open.filter((item) => !claims.has(item.key));
      if (open.length === 0) break;
      const held = await this.connection.query<{ key: string; worker: string; remaining: number }>(pulls.findHolders, [
        open.map((item) => item.key),
      ]);
      for (const { key, worker, remaining } of held)
        claims.set(key, { outcome: 'held', worker, remaining: Math.max(0, remaining) });
      open = open.filter((item) => !claims.has(item.key));
    }
    return items.map((item) => claims.get(item.key) as Claim);
  }

  private async change(statement: Statement, items: Change[]): Promise<boolean[]> {
    const columns = (items[0] as Change).values.map((_, column) => items.map((item) => item.values[column]));
    const rows = await this.connection.query<{ key: string }>(statement, [
      items.map((item) => item.ref.key),
      items.map((item) => item.ref.worker),
      items.map((item) => item.ref.attempt),
      items.map((item) => item.ref.token ?? null),
      ...columns,
    ]);
    const changed = new Set(rows.map((row) => row.key));
    return items.map((item) => changed.has(item.ref.key));
  }
}

function claimed(row: ClaimedRow, worker: string): Claim {
  return {
    outcome: 'claimed',
    ref: { key: row.key, worker, attempt: row.attempt, token: row.token },
    ...(row.previous_age === null
      ? {}
      : { previous: { ...(row.previous_failure ? { failure: row.previous_failure } : {}), age: row.previous_age } }),
  };
}
