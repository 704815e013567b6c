import type { FailureReason, Target } from '#oci';
import type { TransferEvents } from '../transfers/transfer-events.js';

export type TransferEvent = Parameters<NonNullable<TransferEvents['onEvent']>>[0];

/**
 * `done`: the target is present; `present`: it was already; `interrupted`: another worker goes on with it, or this process
 * stops; else why it failed.
 */
export type PullOutcome = 'done' | 'present' | 'interrupted' | FailureReason;

/** What happens in a puller, for whoever counts it. Called in the midst of the work: quick, and never throwing. */
export interface WorkerEvents {
  /** `attempt` above 1: it goes on where another worker was lost. */
  pullStarted(kind: Target['kind'], attempt: number): void;
  /** Of every pull that started, and of those that need not (`present`). */
  pullEnded(kind: Target['kind'], outcome: PullOutcome, seconds: number): void;
  transferEvent(event: TransferEvent): void;
  /** `readers`: how many have read it, one after another or at once. */
  transferEnded(readers: number): void;
}
