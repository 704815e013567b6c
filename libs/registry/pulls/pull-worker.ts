import { LRUCache } from 'lru-cache';
import { type Delivery, EVENT_MAJOR, type PullRequested, type PullSource, type RelayAddress, type Verdict } from '#bus';
import type { BlobKnowledge, ClaimRef } from '#catalog';
import { Failure, type FailureRecord, isDigest, type Target } from '#oci';
import type { Log } from '../ports.js';
import { Foreknowledge } from './foreknowledge.js';
import { leaseKey, sameRepository } from './lease-key.js';
import { isAway, patientCatalog, patiently } from './patient-catalog.js';
import { pullBlob } from './pull-blob.js';
import { pullList } from './pull-list.js';
import { type ManifestSteps, pullManifest } from './pull-manifest.js';
import { resolveTag } from './resolve-tag.js';
import { ResolvedTags } from './resolved-tags.js';
import { type Pull, pullLog, RunningPull, signalStarted } from './running-pull.js';
import type { PullOutcome } from './worker-events.js';
import type { WorkerOptions, WorkerPorts } from './worker-ports.js';

/** Milliseconds that a pull sits a database out that is away; it takes seconds to restart. */
const CATALOG_PATIENCE = 30_000;
/** Milliseconds until a message comes again that could not even be looked up. */
const CATALOG_AWAY_DELAY = 1_000;
/** Milliseconds after which a pull that gets next to nothing gives its slot to others. */
const STALL_MS = 2_000;
/** Milliseconds; an operator may end a pause at any time. */
const LONGEST_PUT_OFF = 30_000;

/**
 * The puller's side: claims the row, does the work, tells everyone. States are drawn in docs/pulls.md.
 * Failures are results: they are recorded, told and end the message; only a lost lease or a lost database leaves the
 * message in the queue.
 */
export class PullWorker {
  private readonly stopping = new AbortController();
  /** By row: what this process works on. */
  private readonly running = new Map<string, RunningPull>();
  private readonly unsubscribe: () => void;
  private readonly granted = new LRUCache<string, true>({ max: 10_000, ttl: 60_000 });
  private readonly foreknown: Foreknowledge;
  /** What the steps of a pull are given. */
  private readonly steps: ManifestSteps;

  constructor(
    private readonly ports: WorkerPorts,
    private readonly options: WorkerOptions,
  ) {
    this.unsubscribe = ports.bus.onSignal('pull.cancelled', ({ row }) => void this.running.get(row)?.cancel());
    this.foreknown = new Foreknowledge(ports.catalog);
    this.steps = {
      ...ports,
      foreknown: this.foreknown,
      catalog: patientCatalog(ports.catalog, CATALOG_PATIENCE, this.stopping.signal),
      resolved: new ResolvedTags(ports.bus),
    };
  }

  async handle(event: PullRequested, delivery: Delivery): Promise<Verdict> {
    try {
      return await this.take(event, delivery);
    } catch (error) {
      // The queue's own pauses grow with every delivery, and a message that waited for a lease has had many.
      if (isAway(error)) return { verdict: 'later', delayMs: CATALOG_AWAY_DELAY };
      throw error;
    }
  }

  private async take(event: PullRequested, delivery: Delivery): Promise<Verdict> {
    const { catalog } = this.ports;
    const { target } = event;
    const running = this.running.get(leaseKey(target));
    // The other lane's message of the same key: the pull that runs tells those who wait for this one. Not of what may change:
    // they are told what the upstream says after they asked.
    if (
      running?.event.key === event.key &&
      !running.cancelled &&
      running.event.lane !== event.lane &&
      isImmutable(target)
    ) {
      running.promote();
      return { verdict: 'done' };
    }
    // Most of what prefetch asks was meanwhile brought by the client itself: look before taking a lease.
    const known = target.kind === 'blob' ? await this.know(target, event.refetch) : {};
    if (known.held !== undefined && !event.refetch) {
      this.ports.events?.pullEnded(target.kind, 'present', 0);
      return this.tell(event, { size: known.held });
    }
    const putOff = this.putOff(event);
    if (putOff) return putOff;
    const claim = await catalog.pulls.claim(leaseKey(target), target, this.options.worker, this.options.lease);
    if (claim.outcome === 'held') {
      await this.joinForeign(event);
      // Never dropped: the holder may be dead, and then this message is the one that takes over.
      return { verdict: 'later', delayMs: Math.min(Math.max(claim.remaining, 250), 1000) };
    }
    if (claim.ref.attempt > this.options.attempts) {
      const failure = new Failure('UPSTREAM_ERROR', 'the pull was given up after its workers were lost', {
        origin: 'internal',
      });
      return this.end(event, claim.ref, { failure });
    }
    // Bytes that were stored before the claim may have been pruned until then.
    const again = claim.ref.attempt > 1 || claim.previous !== undefined || known.stored !== undefined;
    return this.work(new RunningPull(event, again, known, this.ports), claim.ref, delivery);
  }

  private async know(
    { repository, digest }: Extract<Target, { kind: 'blob' }>,
    doubted = false,
  ): Promise<BlobKnowledge> {
    const held = doubted ? undefined : this.ports.facts?.blob(repository, digest);
    if (held !== undefined) return { held };
    const foreknown = doubted ? undefined : await this.foreknown.take(repository, digest);
    return foreknown ?? this.ports.catalog.knowBlob(repository, digest);
  }

  private async work(pull: RunningPull, ref: ClaimRef, delivery: Delivery): Promise<Verdict> {
    const { event } = pull;
    const lease = this.keep(ref, delivery, pull.log);
    // The row first: a reader whose transfer is gone looks there for the reason.
    pull.onCancel = async (reason) => {
      await this.record(event, ref, reason);
      // At once: who asks when the row says that it has ended is not to hear of this end.
      this.tell(event, { failure: reason.toRecord() });
    };
    const { events } = this.ports;
    const began = performance.now();
    let outcome: PullOutcome = 'done';
    events?.pullStarted(event.target.kind, ref.attempt);
    const row = leaseKey(event.target);
    this.running.set(row, pull);
    pull.interruptBy(AbortSignal.any([lease.lost, this.stopping.signal]));
    pull.onAnnounce = (relay, size) => {
      // For late joiners; whoever waits now has heard the signal.
      this.ports.catalog.pulls.announce(ref, relay, size).catch((error: unknown) => {
        pull.log.warn({ error: String(error) }, 'cannot record the relay');
      });
    };
    // A blob stays what it is: who waits need not wait for the rows. What a tag names is asked anew by whoever comes
    // after the answer, and knows by the row that this one came before.
    pull.onPresent = () => delivery.release('recording');
    const pace = setInterval(() => pull.stalls() && delivery.release('stalled'), STALL_MS).unref();
    try {
      const size = await this.perform(pull);
      const { source } = pull;
      pull.log.debug({ target: event.target, cause: event.cause, size, ...pull.asked }, 'pulled');
      if (size === undefined) return await this.end(event, ref, { source });
      pull.present(size);
      return await this.record(event, ref);
    } catch (error) {
      if (lease.lost.aborted || this.stopping.signal.aborted) {
        outcome = 'interrupted';
        if (this.stopping.signal.aborted) await this.handBack(ref);
        return { verdict: 'later', delayMs: 0 };
      }
      const failure = pull.cancelled ?? Failure.of(error);
      outcome = failure.reason;
      if (pull.cancelled) return { verdict: 'done' };
      if (failure.reason === 'INTERNAL') pull.log.error({ err: failure.cause }, 'pull failed unexpectedly');
      return await this.end(event, ref, { failure });
    } finally {
      if (this.running.get(row) === pull) this.running.delete(row);
      clearInterval(pace);
      lease.end();
      events?.pullEnded(event.target.kind, outcome, (performance.now() - began) / 1000);
    }
  }

  /**
   * While an upstream rests, or has little left for us, background work stays out of the way. What a client would ask for
   * anyway is dropped, what was ordered comes again later.
   */
  private putOff(event: PullRequested): Verdict | undefined {
    if (event.lane !== 'background') return undefined;
    const wait = this.ports.upstream.backgroundWait(event.target.repository.upstream);
    if (wait <= 0) return undefined;
    if (event.cause === 'prefetch' || event.cause === 'revalidate') return { verdict: 'done' };
    return { verdict: 'later', delayMs: Math.min(Math.max(wait, 1_000), LONGEST_PUT_OFF) };
  }

  /** Interrupts what runs; its messages go back to the queue for others. */
  stop(): void {
    const reason = new Failure('UNAVAILABLE', 'the puller is stopping', { retryable: true });
    this.unsubscribe();
    this.steps.resolved.close();
    this.stopping.abort(reason);
    this.ports.transfers.cancelAll(reason);
  }

  /** Resolves with the size of a blob in bytes. */
  private perform(pull: Pull): Promise<number | void> {
    const { target } = pull.event;
    if (target.kind === 'manifest') return pullManifest(pull, target, this.steps, this.options);
    if (target.kind === 'tag') return resolveTag(pull, target, this.steps, this.options);
    if (target.kind === 'blob') return pullBlob(pull, target, this.steps, this.options);
    return pullList(pull, target, this.steps);
  }

  /** Heartbeats to queue and row until `end`; `lost` aborts when another worker has taken over. */
  private keep(ref: ClaimRef, delivery: Delivery, log: Log): { lost: AbortSignal; end(): void } {
    const lost = new AbortController();
    const timer = setInterval(() => {
      delivery.working();
      this.ports.catalog.pulls.renew(ref, this.options.lease).then(
        (held) => held || lost.abort(new Failure('UNAVAILABLE', 'the lease was lost', { retryable: true })),
        // A database that is away takes nobody's lease: go on, the attempt number fences in the end.
        (error) => log.warn({ error: String(error) }, 'cannot renew the lease'),
      );
    }, this.options.lease / 3);
    timer.unref();
    return { lost: lost.signal, end: () => clearInterval(timer) };
  }

  /** The bytes are being fetched for another repository: once ours allows it, our clients read that same transfer. */
  private async joinForeign(event: PullRequested): Promise<void> {
    const { target } = event;
    if (target.kind !== 'blob' || event.lane !== 'interactive') return;
    const row = await this.ports.catalog.pulls.find(leaseKey(target));
    if (row?.state !== 'running' || !row.relay || sameRepository(row.target.repository, target.repository)) return;
    try {
      // Redelivered every second while the other transfer runs: one question to the upstream is enough.
      if (!this.granted.has(event.key)) {
        const call = event.via ? { via: event.via } : {};
        await this.ports.upstream.headBlob(target.repository, target.digest, call);
      }
      this.granted.set(event.key, true);
      signalStarted(this.ports.bus, event.key, row.relay as RelayAddress, row.size);
    } catch (error) {
      pullLog(this.ports.log, event).debug({ error: String(error) }, 'may not join the transfer of another repository');
    }
  }

  /** Records before it tells: who waits may look at the row as soon as he is told. */
  private async end(
    event: PullRequested,
    ref: ClaimRef,
    { failure, source }: { readonly failure?: Failure; readonly source?: PullSource },
  ): Promise<Verdict> {
    const recorded = await this.record(event, ref, failure);
    if (recorded.verdict === 'later' || recorded.lost) return recorded;
    if (!failure) return this.tell(event, { source });
    pullLog(this.ports.log, event).warn({ target: event.target, ...failure.toRecord() }, 'pull failed');
    return this.tell(event, { failure: failure.toRecord() });
  }

  private async record(
    event: PullRequested,
    ref: ClaimRef,
    failure?: Failure,
  ): Promise<Verdict & { readonly lost?: boolean }> {
    const finish = () => this.ports.catalog.pulls.finish(ref, failure?.toRecord());
    try {
      return { verdict: 'done', lost: !(await patiently(finish, CATALOG_PATIENCE, this.stopping.signal)) };
    } catch (error) {
      pullLog(this.ports.log, event).warn({ error: String(error) }, 'cannot record the end of a pull');
      return { verdict: 'later', delayMs: CATALOG_AWAY_DELAY };
    }
  }

  private tell(
    event: PullRequested,
    end: { readonly failure?: FailureRecord; readonly size?: number; readonly source?: PullSource },
  ): Verdict {
    this.ports.bus.signal('pull.finished', { v: EVENT_MAJOR, key: event.key, ...end });
    return { verdict: 'done' };
  }

  /** On a graceful stop the lease ends now, so that another worker need not wait for it. */
  private async handBack(ref: ClaimRef): Promise<void> {
    await this.ports.catalog.pulls.renew(ref, 0).catch(() => false);
  }
}

function isImmutable(target: Target): boolean {
  return target.kind === 'blob' || (target.kind === 'manifest' && isDigest(target.reference));
}
