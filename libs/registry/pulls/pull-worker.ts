import { LRUCache } from 'lru-cache';
import { backoff, sleep } from '#async';
import type { BlobStore } from '#blobs';
import { type Bus, type Delivery, EVENT_MAJOR, type PullRequested, type RelayAddress, type Verdict } from '#bus';
import type { Catalog, ClaimRef } from '#catalog';
import { Failure, type FailureRecord } from '#oci';
import type { CallOptions, Upstream } from '#upstream';
import type { Log } from '../ports.js';
import type { DownloadOptions } from '../transfers/download.js';
import type { Transfers } from '../transfers/transfers.js';
import { leaseKey, sameRepository } from './lease-key.js';
import { pullBlob } from './pull-blob.js';
import { pullList } from './pull-list.js';
import { pullManifest } from './pull-manifest.js';

export interface WorkerOptions {
  /** Unique per process life. */
  readonly worker: string;
  /** Milliseconds that a silent worker keeps a pull. */
  readonly lease: number;
  /** Lost leases of one pull before it is given up. */
  readonly attempts: number;
  /** Where other processes read our transfers; empty when there are none. */
  readonly relayUrl: string;
  readonly download: DownloadOptions;
  readonly prefetch: { readonly enabled: boolean; readonly platforms: readonly string[] };
  /** Milliseconds that an interactive transfer goes on without any reader. */
  readonly unreadFor: number;
}

export interface WorkerPorts {
  readonly catalog: Catalog;
  readonly blobs: BlobStore;
  readonly bus: Bus;
  readonly upstream: Upstream;
  readonly transfers: Transfers;
  readonly log: Log;
}

/** What one pull under a lease may do. */
export interface Pull {
  readonly event: PullRequested;
  readonly log: Log;
  /** Another try after a worker was lost, or a pull of what was pulled before. */
  readonly again: boolean;
  /** Aborts when the lease is lost or the process stops. */
  readonly signal: AbortSignal;
  /** What every call to the upstream is told. */
  readonly call: CallOptions;
  announce(relay: RelayAddress, size: number | undefined): Promise<void>;
}

/** Milliseconds; an operator may end a pause at any time. */
const LONGEST_PUT_OFF = 30_000;

/**
 * The puller's side: claims the row, does the work, tells everyone. States are drawn in docs/architecture.md.
 * Failures are results: they are recorded, told and end the message; only a lost lease or a lost database leaves the
 * message in the queue.
 */
export class PullWorker {
  private readonly stopping = new AbortController();
  private readonly granted = new LRUCache<string, true>({ max: 10_000, ttl: 60_000 });

  constructor(
    private readonly ports: WorkerPorts,
    private readonly options: WorkerOptions,
  ) {}

  async handle(event: PullRequested, delivery: Delivery): Promise<Verdict> {
    const { catalog } = this.ports;
    const log = this.ports.log;
    if (event.cause === 'prefetch' && event.target.kind === 'blob') {
      // Most of what prefetch asks was meanwhile brought by the client itself: look before taking a lease.
      if (await catalog.findBlob(event.target.repository, event.target.digest)) return this.tell(event);
    }
    const putOff = this.putOff(event);
    if (putOff) return putOff;
    const claim = await catalog.pulls.claim(
      leaseKey(event.target),
      event.target,
      this.options.worker,
      this.options.lease,
    );
    if (claim.outcome === 'held') {
      await this.joinForeign(event);
      // Never dropped: the holder may be dead, and then this message is the one that takes over.
      return { verdict: 'later', delayMs: Math.min(Math.max(claim.remaining, 250), 1000) };
    }
    if (claim.ref.attempt > this.options.attempts) {
      return this.finish(
        event,
        claim.ref,
        new Failure('UPSTREAM_ERROR', 'the pull was given up after its workers were lost', { origin: 'internal' }),
      );
    }
    const lease = this.keep(claim.ref, delivery);
    const signal = AbortSignal.any([lease.lost, this.stopping.signal]);
    try {
      await this.perform({
        event,
        log,
        again: claim.ref.attempt > 1 || claim.previous !== undefined,
        signal,
        call: { signal, priority: event.lane, ...(event.via ? { via: event.via } : {}) },
        announce: (relay, size) => this.announce(event, claim.ref, relay, size),
      });
      return await this.finish(event, claim.ref);
    } catch (error) {
      if (lease.lost.aborted || this.stopping.signal.aborted) {
        if (this.stopping.signal.aborted) await this.handBack(claim.ref);
        return { verdict: 'later', delayMs: 0 };
      }
      const failure = Failure.of(error);
      if (failure.reason === 'INTERNAL') log.error({ key: event.key, err: failure.cause }, 'pull failed unexpectedly');
      return await this.finish(event, claim.ref, failure);
    } finally {
      lease.end();
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
    this.stopping.abort(reason);
    this.ports.transfers.cancelAll(reason);
  }

  private perform(pull: Pull): Promise<void> {
    const { target } = pull.event;
    if (target.kind === 'manifest') return pullManifest(pull, target, this.ports, this.options);
    if (target.kind === 'blob') return pullBlob(pull, target, this.ports, this.options);
    return pullList(pull, target, this.ports);
  }

  /** Heartbeats to queue and row until `end`; `lost` aborts when another worker has taken over. */
  private keep(ref: ClaimRef, delivery: Delivery): { lost: AbortSignal; end(): void } {
    const lost = new AbortController();
    const timer = setInterval(() => {
      delivery.working();
      this.ports.catalog.pulls.renew(ref, this.options.lease).then(
        (held) => held || lost.abort(new Failure('UNAVAILABLE', 'the lease was lost', { retryable: true })),
        // A database that is away takes nobody's lease: go on, the attempt number fences in the end.
        (error) => this.ports.log.warn({ key: ref.key, error: String(error) }, 'cannot renew the lease'),
      );
    }, this.options.lease / 3);
    timer.unref();
    return { lost: lost.signal, end: () => clearInterval(timer) };
  }

  private async announce(
    event: PullRequested,
    ref: ClaimRef,
    relay: RelayAddress,
    size: number | undefined,
  ): Promise<void> {
    this.signalStarted(event.key, relay, size);
    // For late joiners; whoever waits now has heard the signal.
    this.ports.catalog.pulls.announce(ref, relay, size).catch((error: unknown) => {
      this.ports.log.warn({ key: event.key, error: String(error) }, 'cannot record the relay');
    });
  }

  private signalStarted(key: string, relay: RelayAddress, size: number | undefined): void {
    this.ports.bus.signal('pull.started', { v: EVENT_MAJOR, key, relay, ...(size === undefined ? {} : { size }) });
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
      this.signalStarted(event.key, row.relay as RelayAddress, row.size);
    } catch (error) {
      this.ports.log.debug({ key: event.key, error: String(error) }, 'may not join the transfer of another repository');
    }
  }

  private async finish(event: PullRequested, ref: ClaimRef, failure?: Failure): Promise<Verdict> {
    for (let attempt = 0; ; attempt++) {
      try {
        if (!(await this.ports.catalog.pulls.finish(ref, failure?.toRecord()))) return { verdict: 'done' };
        break;
      } catch (error) {
        if (attempt >= 5 || this.stopping.signal.aborted) return { verdict: 'later', delayMs: 1000 };
        this.ports.log.warn({ key: event.key, error: String(error) }, 'cannot record the end of a pull, trying again');
        await sleep(backoff(attempt, 200, 5000));
      }
    }
    if (failure)
      this.ports.log.warn(
        { key: event.key, target: event.target, requestId: event.requestId, ...failure.toRecord() },
        'pull failed',
      );
    return this.tell(event, failure?.toRecord());
  }

  private tell(event: PullRequested, failure?: FailureRecord): Verdict {
    this.ports.bus.signal('pull.finished', { v: EVENT_MAJOR, key: event.key, ...(failure ? { failure } : {}) });
    return { verdict: 'done' };
  }

  /** On a graceful stop the lease ends now, so that another worker need not wait for it. */
  private async handBack(ref: ClaimRef): Promise<void> {
    await this.ports.catalog.pulls.renew(ref, 0).catch(() => false);
  }
}
