import { type Digest, formatRepository, type Repository } from '#oci';
import type {
  PruneCounts,
  PruneItem,
  PruneJob,
  PrunePlan,
  PruneProtection,
  PruneRule,
  PruneState,
  PruneStep,
  Pruning,
} from '../../pruning.js';
import { EXPIRE_AT_MOST, facts, pruning as statements } from '../../statements/index.js';
import type { Connection, Run } from '../connection.js';
import { digestFromBytes, digestToBytes } from '../digest-column.js';
import { overloaded } from '../failures.js';
import { refusePattern } from '../inventory/listing.js';
import { Planner } from './plan.js';

/** Milliseconds of one statement. A plan reads whole tables; a step a thousand rows or one large repository. */
const PLAN_MS = 300_000;
/** As many times the usual time-out is enough to match a few millions of references. */
const MATCHING = 6;
const STEP_MS = 60_000;
const DEPTH = 4;
const MAX_TRIES = 5;
/** Repositories of this upstream hold what is to stay without a manifest. No registry has such a name. */
const HOLDS = '(hold)';
const NOTHING: PruneCounts = { images: 0, tags: 0, manifests: 0, blobs: 0, bytes: 0 };
const BEFORE: Record<Exclude<PruneState, 'planned'>, readonly PruneState[]> = {
  running: ['planned'],
  done: ['running'],
  failed: ['running'],
  cancelled: ['planned', 'running'],
};

interface JobRow {
  id: string;
  cause: PruneJob['cause'];
  rule: Record<string, unknown>;
  state: PruneState;
  created_at: Date;
  finished_at: Date | null;
  planned: PrunePlan;
  removed: PruneCounts;
  error: string | null;
}

interface ContentRow {
  upstream: string;
  path: string;
  digest: Buffer;
}

/** Manifests of repositories, as two columns of ids. */
class Held {
  readonly repositories: string[] = [];
  readonly manifests: string[] = [];

  add(rows: readonly { readonly repository_id: string; readonly manifest_id: string }[]): this {
    for (const row of rows) {
      this.repositories.push(row.repository_id);
      this.manifests.push(row.manifest_id);
    }
    return this;
  }

  get keys(): string[] {
    return this.manifests.map((manifest, i) => `${this.repositories[i]} ${manifest}`);
  }

  get columns(): [string[], string[]] {
    return [this.repositories, this.manifests];
  }
}

export class PostgresPruning implements Pruning {
  constructor(private readonly connection: Connection) {}

  async plan(rule: PruneRule, protection: PruneProtection, cause: PruneJob['cause']): Promise<PruneJob> {
    const matching = MATCHING * this.connection.statementTimeout;
    const work = async (run: Run) => {
      const planned = await new Planner(run, rule, protection, { matching, reading: PLAN_MS }).plan();
      const { rows } = await run<JobRow>(statements.newJob, [
        cause,
        JSON.stringify(rule),
        JSON.stringify(planned),
        JSON.stringify(NOTHING),
      ]);
      const job = toJob(rows[0]!);
      await run(statements.newItems, [job.id]);
      return job;
    };
    return this.connection.transaction(PLAN_MS, work, true).catch((error: unknown) => refusePattern(error));
  }

  async find(id: string): Promise<PruneJob | undefined> {
    const [row] = isId(id) ? await this.connection.query<JobRow>(statements.findJob, [id]) : [];
    return row && toJob(row);
  }

  async list(limit: number, before?: string): Promise<readonly PruneJob[]> {
    const rows = await this.connection.query<JobRow>(statements.listJobs, [limit, before ?? null]);
    return rows.map(toJob);
  }

  async items(id: string, limit: number, after = '0') {
    const rows = await this.connection.query<
      ContentRow & { ordinal: string; tags: string[]; whole: boolean; last_access: Date }
    >(statements.listItems, [id, limit + 1, after]);
    const shown = rows.slice(0, limit);
    const items = shown.map(
      (row): PruneItem => ({
        repository: { upstream: row.upstream, path: row.path },
        digest: digestFromBytes(row.digest),
        tags: row.tags,
        whole: row.whole,
        lastAccess: row.last_access,
      }),
    );
    return { items, ...(rows.length > limit ? { next: shown.at(-1)!.ordinal } : {}) };
  }

  async running(): Promise<PruneJob | undefined> {
    const [row] = await this.connection.query<JobRow>(statements.runningJob, []);
    return row && toJob(row);
  }

  async turn(id: string, state: Exclude<PruneState, 'planned'>, error?: string): Promise<boolean> {
    const turned = await this.connection.execute(statements.turnJob, [id, state, error ?? null, BEFORE[state]]);
    if (turned > 0 && state !== 'running')
      await this.connection.transaction(STEP_MS, (run) => run(statements.dropItems, [id]));
    return turned > 0;
  }

  async step(id: string, limit: number, servedWithin: number): Promise<PruneStep | undefined> {
    return this.connection.transaction(STEP_MS, async (run) => {
      await run(statements.lockPruning);
      const { rows: next } = await run<{ ordinal: string; manifest_id: string }>(statements.nextItems, [id, limit]);
      if (next.length === 0) return undefined;
      const ordinals = next.map((row) => row.ordinal);
      await run(statements.lockManifests, [next.map((row) => row.manifest_id)]);
      const { rows: items } = await run(statements.lockItems, [id, ordinals, servedWithin]);
      const tags = await run(statements.removeTags, [id, items.map((row) => row.ordinal)]);
      const removed = await removeUnnamed(run, new Held().add(items.filter((row) => row.whole)), servedWithin);
      await run(statements.removeItems, [id, ordinals]);
      const { images, manifests, bytes } = removed;
      await run(statements.addRemoved, [id, images, tags.count, manifests, 0, bytes]);
      return { contents: removed.contents, unheld: removed.unheld };
    });
  }

  async unheld(digests: readonly Digest[]): Promise<readonly Digest[]> {
    const rows = await this.connection.query<{ digest: Buffer }>(statements.unheldBlobs, [digests.map(digestToBytes)]);
    return rows.map((row) => digestFromBytes(row.digest));
  }

  async dropUnheld(digests: readonly Digest[], id?: string): Promise<void> {
    await this.connection.transaction(STEP_MS, async (run) => {
      const { rows } = await run(statements.removeUnheldBlobs, [digests.map(digestToBytes)]);
      if (id !== undefined) await run(statements.addRemoved, [id, 0, 0, 0, rows[0].count, rows[0].bytes]);
    });
  }

  async hold(name: string, digest: Digest, size: number): Promise<void> {
    await this.connection.execute(statements.useBlob, [digestToBytes(digest)]);
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const values = [[HOLDS], [name], [digestToBytes(digest)], [size]];
      if ((await this.connection.query(facts.storeBlobs, values)).length > 0) return;
    }
    throw overloaded('blobs');
  }

  async letGo(name: string): Promise<void> {
    await this.connection.transaction(STEP_MS, async (run) => {
      await run(statements.letGoBlobs, [HOLDS, name]);
      await run(statements.removeHold, [HOLDS, name]);
    });
  }

  async strays(ms: number, limit: number): Promise<readonly Digest[]> {
    return this.connection.transaction(PLAN_MS, async (run) => {
      await run(statements.lockPruning);
      await run(statements.removeStrays, [ms, limit]);
      const { rows } = await run<{ digest: Buffer }>(statements.findUnheld, [limit]);
      return rows.map((row) => digestFromBytes(row.digest));
    });
  }

  async expire(ms: number): Promise<number> {
    let removed = 0;
    for (;;) {
      const some = await this.connection.execute(statements.expireJobs, [ms]);
      removed += some;
      if (some < EXPIRE_AT_MOST) return removed;
    }
  }
}

/** Of `images`, whose tags are gone: those that nothing names, what hangs on them, and what nobody holds then. */
async function removeUnnamed(run: Run, images: Held, servedWithin: number) {
  const goners = new Held().add((await run(statements.unnamed, images.columns)).rows);
  for (let depth = 0; depth < DEPTH; depth++) {
    const { rows } = await run(statements.unnamedChildren, [...goners.columns, servedWithin]);
    if (rows.length === 0) break;
    goners.add(rows);
  }
  const gone = new Set(goners.keys);
  const manifests = await run<ContentRow>(statements.removeHeld, goners.columns);
  const blobs = await run<ContentRow>(statements.removeHeldBlobs, [...goners.columns, servedWithin]);
  const dropped = await run<{ count: string; bytes: string }>(statements.removeManifests, [goners.manifests]);
  const lost = [...new Set(blobs.rows.map((row) => digestFromBytes(row.digest)))];
  const unheld = await run<{ digest: Buffer }>(statements.unheldBlobs, [lost.map(digestToBytes)]);
  return {
    images: images.keys.filter((key) => gone.has(key)).length,
    manifests: dropped.rows[0]!.count,
    bytes: dropped.rows[0]!.bytes,
    contents: byRepository([...manifests.rows, ...blobs.rows]),
    unheld: unheld.rows.map((row) => digestFromBytes(row.digest)),
  };
}

function byRepository(rows: readonly ContentRow[]): PruneStep['contents'] {
  const groups = new Map<string, { repository: Repository; digests: Digest[] }>();
  for (const { upstream, path, digest } of rows) {
    const repository = { upstream, path };
    const key = formatRepository(repository);
    const group = groups.get(key) ?? { repository, digests: [] };
    group.digests.push(digestFromBytes(digest));
    groups.set(key, group);
  }
  return [...groups.values()];
}

function isId(text: string): boolean {
  return /^\d{1,18}$/.test(text);
}

function toJob(row: JobRow): PruneJob {
  const { accessedBefore, storedBefore, ...rule } = row.rule as Record<string, string>;
  return {
    id: row.id,
    cause: row.cause,
    rule: {
      ...rule,
      ...(accessedBefore ? { accessedBefore: new Date(accessedBefore) } : {}),
      ...(storedBefore ? { storedBefore: new Date(storedBefore) } : {}),
    },
    state: row.state,
    createdAt: row.created_at,
    ...(row.finished_at ? { finishedAt: row.finished_at } : {}),
    planned: row.planned,
    removed: row.removed,
    ...(row.error === null ? {} : { error: row.error }),
  };
}
