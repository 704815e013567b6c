import { randomUUID } from 'node:crypto';
import { statfs } from 'node:fs/promises';
import type { OnApplicationBootstrap } from '@nestjs/common';
import { within } from '#async';
import { type Catalog, type PruneRule, parsePatterns } from '#catalog';
import type { Config } from '#config';
import { Failure } from '#oci';
import type { Log, Pruner } from '#registry';

interface KeepingPorts {
  readonly catalog: Pick<
    Catalog,
    'counts' | 'duties' | 'expireTagHistory' | 'foldTotals' | 'pruning' | 'pulls' | 'usage'
  >;
  readonly pruner: Pruner;
  readonly log: Log;
}

const TICK_MS = 5_000;
const STOP_MS = 3_000;
const LEASE_MS = 10 * 60_000;
const SIZE_EVERY_MS = 30_000;
const LOST_EVERY_MS = 300_000;
/** Milliseconds after its lease that a pull is taken for lost: much longer than any takeover takes. */
const LOST_AFTER_MS = 600_000;
const RETENTION_EVERY_MS = 3_600_000;
const STRAYS_EVERY_MS = 24 * 3_600_000;
/** A day longer than the longest window that `stats` tells of. */
const USAGE_MS = 31 * 24 * 3_600_000;
/** A pruned cache is so much smaller than its budget that it is not pruned again at once. */
const LOW_WATER = 0.9;
/** Plans that found too little to remove come again after so many times their own duration. */
const REST = 10;

/**
 * What keeps the cache in order by itself: the byte budget, `pruneConfig`, retention, and what interrupted work left. Any
 * number of processes may run it; each task is done by one of them at a time.
 */
export class KeepingService implements OnApplicationBootstrap {
  private readonly holder = randomUUID();
  private timer: NodeJS.Timeout | undefined;
  private ticking: Promise<void> | undefined;
  private stopped = false;
  private sizeRestsUntil = 0;

  constructor(
    private readonly ports: KeepingPorts,
    private readonly config: Pick<Config, 'blobs' | 'cache' | 'history' | 'pruneConfig'>,
    /** Resolves when the catalog can be used; without it nothing is done. */
    private readonly ready: Promise<void> | undefined,
  ) {}

  onApplicationBootstrap(): void {
    this.ready?.then(
      () => this.begin(),
      () => {},
    );
  }

  /** Ends what runs between two of its steps; a database that does not answer holds nobody up. */
  async stop(): Promise<void> {
    this.stopped = true;
    clearInterval(this.timer);
    const ended = this.ports.pruner.close().then(() => this.ticking);
    await within(STOP_MS, ended, () => new Error('still busy')).catch((error: unknown) =>
      this.ports.log.warn({ error: String(error) }, 'what keeps the cache in order does not stop'),
    );
  }

  private begin(): void {
    if (this.stopped) return;
    const tick = () => {
      this.ticking ??= this.tick().finally(() => {
        this.ticking = undefined;
      });
    };
    this.timer = setInterval(tick, TICK_MS);
    this.timer.unref();
    tick();
  }

  private async tick(): Promise<void> {
    const { pruner, catalog, log } = this.ports;
    const { pruneConfig } = this.config;
    try {
      await pruner.resume();
      await this.duty('size', SIZE_EVERY_MS, async () => {
        await catalog.foldTotals();
        await this.fit();
      });
      if (pruneConfig.enabled) await this.duty('prune-config', pruneConfig.frequency, () => this.scheduled());
      await this.duty('lost-pulls', LOST_EVERY_MS, async () => {
        const lost = await catalog.pulls.endLost(LOST_AFTER_MS);
        if (lost > 0)
          log.warn({ pulls: lost }, 'pulls whose pullers were lost, and that nobody asked for again, were ended');
      });
      await this.duty('retention', RETENTION_EVERY_MS, () => this.expire());
      await this.duty('strays', STRAYS_EVERY_MS, async () => {
        const removed = await pruner.sweep(STRAYS_EVERY_MS);
        if (removed > 0) log.info({ blobs: removed }, 'blobs that nothing refers to were removed');
      });
    } catch (error) {
      log.warn({ error: Failure.of(error).message }, 'cannot keep the cache in order, trying again');
    }
  }

  /** `work` returns false when it is to be tried again at the next tick. */
  private async duty(name: string, every: number, work: () => Promise<void | false>): Promise<void> {
    if (this.stopped) return;
    const duty = await this.ports.catalog.duties.take(name, this.holder, LEASE_MS, every);
    if (!duty) return;
    let done = false;
    try {
      done = (await work()) !== false;
    } finally {
      await duty.end(done);
    }
  }

  /** Keeps to `cache.maxSize`. */
  private async fit(): Promise<void> {
    const { catalog, pruner, log } = this.ports;
    const { maxSize } = this.config.cache;
    if (maxSize === undefined || Date.now() < this.sizeRestsUntil) return;
    const { blobBytes } = await catalog.counts();
    const budget = typeof maxSize === 'number' ? maxSize : await this.shareOfDisk(maxSize.percent, blobBytes);
    if (blobBytes <= budget || (await catalog.pruning.running())) return;
    const since = Date.now();
    const job = await pruner.plan({ toSize: Math.floor(budget * LOW_WATER) }, 'size');
    const { images, above = 0 } = job.planned;
    const facts = { held: blobBytes, maxSize: budget, images, bytes: job.planned.bytes };
    if (above > 0) {
      const why = 'what is kept, pinned or was served within cache.protect is larger than cache.maxSize allows';
      log.warn({ ...facts, above, protected: job.planned.protected }, why);
      this.sizeRestsUntil = Date.now() + REST * Math.max(SIZE_EVERY_MS, Date.now() - since);
    }
    if (images === 0 || (await pruner.start(job.id)) !== 'started') {
      await catalog.pruning.turn(job.id, 'cancelled');
      return;
    }
    log.info({ prune: job.id, ...facts }, 'the cache is larger than cache.maxSize');
    await pruner.settled();
  }

  /** Of what the cache takes of its file system and what is free there: other files on it are not ours to make room for. */
  private async shareOfDisk(percent: number, held: number): Promise<number> {
    const { filesystem } = this.config.blobs;
    if (!filesystem) return Number.POSITIVE_INFINITY;
    const { bavail, bsize } = await statfs(filesystem.path);
    return Math.floor((percent / 100) * (held + bavail * bsize));
  }

  /** `pruneConfig`, as the Go server has it. */
  private async scheduled(): Promise<void | false> {
    const { pruner, catalog, log } = this.ports;
    const { type, duration, expr = '', count, dryRun } = this.config.pruneConfig;
    if (count === 0) return;
    if (await catalog.pruning.running()) return false;
    const since = new Date(Date.now() - duration);
    const rule: PruneRule = {
      ...(type === 'accessed' ? { accessedBefore: since } : {}),
      ...(type === 'created' ? { storedBefore: since } : {}),
      ...(type === 'pattern' ? { patterns: parsePatterns(expr) } : {}),
      ...(count > 0 ? { count } : {}),
    };
    const job = await pruner.plan(rule, 'schedule');
    log.info({ prune: job.id, dryRun, ...job.planned }, dryRun ? 'would prune by schedule' : 'pruning by schedule');
    if (dryRun) return;
    if (job.planned.images > 0 || job.planned.tags > 0) {
      if ((await pruner.start(job.id)) === 'started') return pruner.settled();
      await catalog.pruning.turn(job.id, 'cancelled');
      return false;
    }
    await catalog.pruning.turn(job.id, 'cancelled');
  }

  private async expire(): Promise<void> {
    const { catalog, log } = this.ports;
    const { pulls, tags } = this.config.history;
    const removed = {
      pulls: await catalog.pulls.expire(pulls),
      tagMoves: await catalog.expireTagHistory(tags),
      usage: await catalog.usage.expire(USAGE_MS),
      prunes: await catalog.pruning.expire(pulls),
    };
    if (Object.values(removed).some((count) => count > 0)) log.info(removed, 'old records were removed');
  }
}
