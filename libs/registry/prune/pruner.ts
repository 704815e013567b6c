import { sleep } from '#async';
import type { BlobStore } from '#blobs';
import { type Bus, EVENT_MAJOR } from '#bus';
import type { Catalog, Duty, PruneJob, PruneProtection, PruneRule, PruneStep, Pruning } from '#catalog';
import { Failure } from '#oci';
import type { Log } from '../ports.js';
import { patiently } from '../pulls/patient-catalog.js';
import { removeUnheld } from './remove-unheld.js';

interface PrunerPorts {
  readonly catalog: Pick<Catalog, 'pruning' | 'duties' | 'pulls'>;
  readonly blobs: Pick<BlobStore, 'remove'>;
  readonly bus: Pick<Bus, 'signal'>;
  readonly log: Log;
}

interface PrunerOptions {
  /** Unique per process life. */
  readonly worker: string;
  readonly protection: PruneProtection;
}

/** Images of one transaction: some ten thousand rows, a fraction of a second. */
const STEP = 200;
const LEASE_MS = 30_000;
/** How long who asks for a prune waits for another's end. */
const BUSY_MS = 10_000;
const BUSY_POLL_MS = 100;
/** How long a step is tried. */
const PATIENCE_MS = 60_000;
const DUTY = 'prune';
/** A content.removed stays below the megabyte that NATS takes. */
const DIGESTS_PER_SIGNAL = 2_000;

/**
 * Carries out prune plans, one at a time in the whole cluster. A step takes images out of their repositories and tells
 * every gateway; then the bytes that nobody holds any more go, each under the lease that guards its pull: who asks for
 * it meanwhile is fetched it again afterwards.
 *
 *   tags, manifests, who holds what (one transaction) -> content.removed -> lease, bytes, row, lease
 *
 * A process that dies leaves a running job and blobs without a holder; `resume` goes on with the one, `sweep` finds the
 * others.
 */
export class Pruner {
  readonly jobs: Pruning;
  private readonly stopping = new AbortController();
  private running: Promise<void> | undefined;

  constructor(
    private readonly ports: PrunerPorts,
    private readonly options: PrunerOptions,
  ) {
    this.jobs = ports.catalog.pruning;
  }

  /** Computes what would go and remembers it; changes nothing. */
  plan(rule: PruneRule, cause: PruneJob['cause']): Promise<PruneJob> {
    return this.jobs.plan(rule, this.options.protection, cause);
  }

  /** Begins to carry a plan out, unless another is being carried out anywhere or this one has been before. Waits for what is over soon, as a sweep is. */
  async start(id: string): Promise<'started' | 'busy' | 'over'> {
    const duty = await this.takeDuty(BUSY_MS);
    if (!duty) return 'busy';
    if (await this.jobs.turn(id, 'running')) {
      this.run(id, duty);
      return 'started';
    }
    await duty.end(false);
    return 'over';
  }

  /** Goes on with a job whose process was lost; false when there is none. */
  async resume(): Promise<boolean> {
    const { jobs } = this;
    if (!(await jobs.running())) return false;
    const duty = await this.takeDuty();
    if (!duty) return false;
    // Looked for again: what ran before may have ended when the duty was given up.
    const job = await jobs.running();
    if (job) this.run(job.id, duty);
    else await duty.end(false);
    return job !== undefined;
  }

  /** Resolves when the job that runs here has ended; never rejects. */
  async settled(): Promise<void> {
    await this.running;
  }

  /** Drops blobs that no manifest refers to, left by interrupted work; `ms`: not asked for within. How many. */
  async sweep(ms: number): Promise<number> {
    const duty = await this.takeDuty();
    if (!duty) return 0;
    try {
      const unheld = await this.jobs.strays(ms, STEP * 10);
      return (await removeUnheld(unheld, this.ports, this.options.worker)).length;
    } finally {
      await duty.end(false);
    }
  }

  /** Stops between two steps; the job stays running, for `resume`. */
  async close(): Promise<void> {
    this.stopping.abort(new Failure('UNAVAILABLE', 'stopping'));
    await this.settled();
  }

  /** `patience`: milliseconds that another may have it for. */
  private async takeDuty(patience = 0): Promise<Duty | undefined> {
    for (const deadline = performance.now() + patience; ; ) {
      const duty = await this.ports.catalog.duties.take(DUTY, this.options.worker, LEASE_MS);
      if (duty || performance.now() >= deadline) return duty;
      await sleep(BUSY_POLL_MS, this.stopping.signal);
    }
  }

  private run(id: string, duty: Duty): void {
    const running = this.carryOut(id, duty).finally(() => {
      if (this.running === running) this.running = undefined;
    });
    this.running = running;
  }

  private async carryOut(id: string, duty: Duty): Promise<void> {
    const { log } = this.ports;
    let held = true;
    const heartbeat = setInterval(() => {
      duty.renew(LEASE_MS).then(
        (still) => {
          held = still;
        },
        (error: unknown) => log.warn({ prune: id, error: String(error) }, 'cannot renew the duty to prune'),
      );
    }, LEASE_MS / 3);
    try {
      log.info({ prune: id }, 'pruning');
      while (held && !this.stopping.signal.aborted) {
        const since = performance.now();
        const step = await this.patiently(id, () => this.jobs.step(id, STEP, this.options.protection.servedWithin));
        if (!step) {
          await this.jobs.turn(id, 'done');
          const job = await this.jobs.find(id);
          log.info({ prune: id, state: job?.state, ...job?.removed }, 'pruned');
          return;
        }
        this.tell(step);
        await this.patiently(id, () => removeUnheld(step.unheld, this.ports, this.options.worker, id));
        // The database and the store belong to those who pull for as long as they did to us.
        await sleep(performance.now() - since, this.stopping.signal).catch(() => {});
      }
    } catch (error) {
      // Broken off by the stop: whoever comes next goes on.
      if (this.stopping.signal.aborted) return;
      log.error({ prune: id, error: String(error) }, 'a prune failed');
      await this.jobs.turn(id, 'failed', Failure.of(error).message).catch(() => {});
    } finally {
      clearInterval(heartbeat);
      await duty.end(false).catch(() => {});
    }
  }

  /** A database or a store that is away for a moment does not end a prune; both steps may be taken twice. */
  private patiently<T>(prune: string, work: () => Promise<T>): Promise<T> {
    return patiently(work, PATIENCE_MS, this.stopping.signal, (error) => {
      const { message, origin, retryable } = Failure.of(error);
      const passes = retryable && (origin === 'catalog' || origin === 'store');
      if (passes) this.ports.log.info({ prune, error: message }, 'a step of a prune is tried again');
      return passes;
    });
  }

  private tell({ contents }: PruneStep): void {
    for (const { repository, digests } of contents) {
      for (let from = 0; from < digests.length; from += DIGESTS_PER_SIGNAL) {
        const some = digests.slice(from, from + DIGESTS_PER_SIGNAL);
        this.ports.bus.signal('content.removed', { v: EVENT_MAJOR, digests: some, repository });
      }
    }
  }
}
