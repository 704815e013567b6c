import type { Lane, PullRequested, SignalName, Signals } from './events.js';

/** The bus as use-cases see it: one work queue and lossy signals that everybody hears. */
export interface Bus {
  /**
   * Queues a pull unless the same key is queued or running in that lane already.
   * Rejects with Failure UNAVAILABLE when the bus cannot be reached within a few seconds.
   */
  requestPull(event: PullRequested): Promise<'queued' | 'coalesced'>;
  /** Tells everyone, at most once, best effort: never rejects because a peer is away. */
  signal<N extends SignalName>(name: N, payload: Signals[N]): void;
  /** Handlers run for the signals of every process, this one included. Returns the unsubscribe function. */
  onSignal<N extends SignalName>(name: N, handler: (payload: Signals[N]) => void): () => void;
  /** Some pulls that wait or run, at most `limit`, interactive ones first. For operators. */
  queued(limit: number): Promise<PullRequested[]>;
  /** Takes a pull out of the queue, in every lane, and gives it; a handler that has it already goes on. */
  withdraw(key: string): Promise<PullRequested | undefined>;
  /** Messages waiting or in flight, by lane. For stats and readiness. */
  depth(): Promise<Record<Lane, number>>;
  /** Milliseconds since the longest waiting or running message of each lane was queued; 0 for an empty lane. */
  oldest(): Promise<Record<Lane, number>>;
  /** Resolves when connected and the stream exists. For readiness. */
  ping(): Promise<void>;
}

export type ReleaseCause = 'recording' | 'stalled';

/** What a `pull.requested` handler is given beside the event; the same on both transports. */
export interface Delivery {
  readonly lane: Lane;
  /** Tells the queue that the work goes on (heartbeat). */
  working(): void;
  /**
   * It needs no slot any more, so that another pull may begin, within bounds: what is left to do is recording, or it gets
   * nothing from its upstream and would only keep the slot from others.
   */
  release(why: ReleaseCause): void;
}

/** What the handler answers: `done` removes the message, `later` has it delivered again after `delayMs`. */
export type Verdict = { readonly verdict: 'done' } | { readonly verdict: 'later'; readonly delayMs: number };
