import type { PullSource } from '#bus';
import type { RunningTransfer } from '../ports.js';

export interface WaitOptions {
  /** A running transfer is as good as a finished one. */
  readonly attach?: boolean;
  /**
   * The client has bytes already: a bus that is away is sat out up to the time-out, and that begins anew as long as a
   * worker is seen at work.
   */
  readonly patient?: boolean;
  readonly signal?: AbortSignal;
  /** Epoch ms since when a transfer was read that is gone: what ended the pull for good after that is the answer. */
  readonly since?: number;
}

export interface Told {
  /** The pull was asked for before by another request. */
  readonly shared: boolean;
  /** Who gave the content, where the puller told it. */
  readonly source?: PullSource;
}

export type Outcome =
  /** `size`: of a blob, in bytes, where the one who finished told it. */
  | (Told & { readonly state: 'finished'; readonly size?: number })
  | (Told & { readonly state: 'running'; readonly transfer: RunningTransfer });

export interface WaitsOptions {
  /** Milliseconds without any progress. */
  readonly timeout: number;
  /** Milliseconds between two looks at the row. */
  readonly poll: number;
  /** Milliseconds after which a client without a byte is told that the bus is away. */
  readonly busPatience: number;
}
