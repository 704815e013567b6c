import type { RelayAddress } from '#bus';
import type { Sink, Span } from '#blobs';

/** Gives readers of running transfers: in the same process directly, else over HTTP (libs/relay). */
export interface Relays {
  /**
   * Attaches to a running transfer. Rejects with Failure UNAVAILABLE when it is not there (ended, or its puller died):
   * the caller then looks at the row and waits for the next signal.
   */
  attach(address: RelayAddress, signal?: AbortSignal): Promise<RunningTransfer>;
}

/** A transfer that somebody is downloading right now, read from any offset at the reader's own speed. */
export interface RunningTransfer {
  /** Whole size in bytes; waits for the upstream's answer when it was not known before. */
  size(): Promise<number>;
  /**
   * Feeds `span` into `sink` while it arrives. The end of the body is withheld until the digest is verified, except for
   * spans of at most 1 MiB that do not reach the whole body. Rejects UNAVAILABLE when the relay breaks (go on elsewhere
   * at your offset), UPSTREAM_* when the transfer failed (cut the client).
   */
  read(span: Span, sink: Sink, signal?: AbortSignal): Promise<void>;
}
