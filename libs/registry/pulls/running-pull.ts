import { type Bus, EVENT_MAJOR, type PullRequested, type PullSource, type RelayAddress } from '#bus';
import type { BlobKnowledge } from '#catalog';
import { Failure } from '#oci';
import type { Answered, CallOptions } from '#upstream';
import { type Log, logWith } from '../ports.js';

/** Bytes between two looks. */
const NEXT_TO_NOTHING = 64 * 1024;

/** What one pull under a lease may do. */
export interface Pull {
  readonly event: PullRequested;
  /** Its lines carry the key and the id of the request. */
  readonly log: Log;
  /** Another try after a worker was lost, or a pull of what was pulled before. */
  readonly again: boolean;
  /** Of a blob, as of before the lease. */
  readonly known: BlobKnowledge;
  /** Whether somebody waits; a background pull may become one that somebody waits for. */
  readonly interactive: boolean;
  /** Aborts when the lease is lost or the process stops. */
  readonly signal: AbortSignal;
  /** What every call to the upstream is told. */
  readonly call: CallOptions;
  /** Tells everyone where the bytes flow. */
  announce(relay: RelayAddress, size: number | undefined): void;
  /** Where its bytes are counted. */
  follow(received: () => number): void;
  /** Tells everyone that the store has the blob, of `size` bytes, and that this repository may have it. */
  present(size: number): void;
}

/** A pull that this process works on, as its own steps and later messages of the same key see it. */
export class RunningPull implements Pull {
  readonly log: Log;
  /** Why an operator wanted no more of it. */
  cancelled: Failure | undefined;
  private readonly cancelling = new AbortController();
  private interrupted = this.cancelling.signal;
  /** Records the end before it comes. */
  onCancel: (reason: Failure) => Promise<unknown> = async () => {};
  onAnnounce: (relay: RelayAddress, size: number | undefined) => void = () => {};
  onPresent: () => void = () => {};
  private promoted = false;
  private size: number | undefined;
  private received: () => number = () => 0;
  private looked = 0;
  private announced: { relay: RelayAddress; size: number | undefined } | undefined;
  private answered: Answered | undefined;

  constructor(
    readonly event: PullRequested,
    readonly again: boolean,
    readonly known: BlobKnowledge,
    private readonly ports: { readonly bus: Bus; readonly log: Log },
  ) {
    this.log = pullLog(ports.log, event);
  }

  /** What ends the pull from outside. */
  interruptBy(signal: AbortSignal): void {
    this.interrupted = AbortSignal.any([signal, this.cancelling.signal]);
  }

  /** An operator wants no more of it. */
  async cancel(): Promise<void> {
    if (this.cancelled) return;
    this.cancelled = new Failure('CANCELLED');
    await this.onCancel(this.cancelled);
    this.cancelling.abort(this.cancelled);
  }

  get signal(): AbortSignal {
    return this.interrupted;
  }

  get call(): CallOptions {
    const { via } = this.event;
    const priority = this.interactive ? 'interactive' : 'background';
    const onAnswer = (answered: Answered) => {
      this.answered = answered;
    };
    return { signal: this.interrupted, priority, onAnswer, ...(via ? { via } : {}) };
  }

  /** Who was asked last, for logs. */
  get asked(): Answered | undefined {
    return this.answered;
  }

  get source(): PullSource | undefined {
    if (!this.answered) return undefined;
    const { from, ms, held } = this.answered;
    return { from, ms, ...(held === undefined ? {} : { held }) };
  }

  get interactive(): boolean {
    return this.promoted || this.event.lane === 'interactive';
  }

  announce(relay: RelayAddress, size: number | undefined): void {
    this.announced = { relay, size };
    this.tellStarted(this.announced);
    this.onAnnounce(relay, size);
  }

  follow(received: () => number): void {
    this.received = received;
  }

  /** Whether it got next to nothing since it was last asked. */
  stalls(): boolean {
    const received = this.received();
    const stalls = this.size === undefined && received - this.looked < NEXT_TO_NOTHING;
    this.looked = received;
    return stalls;
  }

  present(size: number): void {
    if (this.size !== undefined) return;
    this.size = size;
    // Who loads ahead looks for the row next, and is told when that is written.
    if (this.promoted || this.event.cause !== 'preload') this.tellPresent(size);
    this.onPresent();
  }

  /** Somebody waits now. Tells him what was told before he did. */
  promote(): void {
    this.promoted = true;
    if (this.size !== undefined) this.tellPresent(this.size);
    else if (this.announced) this.tellStarted(this.announced);
  }

  private tellPresent(size: number): void {
    const source = this.source ? { source: this.source } : {};
    this.ports.bus.signal('pull.finished', { v: EVENT_MAJOR, key: this.event.key, size, ...source });
  }

  private tellStarted({ relay, size }: { relay: RelayAddress; size: number | undefined }): void {
    signalStarted(this.ports.bus, this.event.key, relay, size, this.source);
  }
}

export function pullLog(log: Log, { key, requestId }: Pick<PullRequested, 'key' | 'requestId'>): Log {
  return logWith(log, { key, ...(requestId === undefined ? {} : { requestId }) });
}

export function signalStarted(
  bus: Bus,
  key: string,
  relay: RelayAddress,
  size: number | undefined,
  source?: PullSource,
): void {
  const told = { ...(size === undefined ? {} : { size }), ...(source ? { source } : {}) };
  bus.signal('pull.started', { v: EVENT_MAJOR, key, relay, ...told });
}
