import type { Sink, Span } from '#blobs';
import type { RelayAddress } from '#bus';

/** Gives readers of running transfers: in the same process directly, else over HTTP (libs/relay). */
export interface Relays {
  /**
   * Attaches to a running transfer. Rejects with Failure UNAVAILABLE when it is not there (ended, or its puller died):
   * the caller then looks at the row and waits for the next signal.
   */
  attach(address: RelayAddress, signal?: AbortSignal): Promise<RunningTransfer>;
}

export interface ReadOptions {
  readonly signal?: AbortSignal;
  /** The client asked for a range with both ends; up to 1 MiB of those is not withheld, as it can be no complete body. */
  readonly bounded?: boolean;
}

/** A transfer that somebody is downloading right now, read from any offset at the reader's own speed. */
export interface RunningTransfer {
  /** Whole size in bytes; waits for the upstream's answer when it was not known before. */
  size(): Promise<number>;
  /**
   * Feeds `span` into `sink` while it arrives; the end of the body is withheld until the digest is verified.
   * Rejects UNAVAILABLE when the relay breaks (go on elsewhere at your offset), with the transfer's own failure when
   * that is known (cut the client).
   */
  read(span: Span, sink: Sink, options?: ReadOptions): Promise<void>;
  /**
   * Checksums of what this process was sent, when the transfer may outlive or be outlived by the process that downloads
   * it. A reader that goes on elsewhere compares them before it hands out the end of the body: unverified bytes of a
   * dead puller must not become part of a complete wrong body.
   */
  fingerprint?(): Fingerprint;
}

/** CRC-32 over blocks of `blockSize` bytes; the last one of a stream may be shorter. Key: the block's index. */
export interface Fingerprint {
  readonly blockSize: number;
  readonly blocks: ReadonlyMap<number, { readonly length: number; readonly crc: number }>;
}

/** Structured logging as use-cases need it; pino fits. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** The same log with `bound` in every line; what a line says itself goes before it. */
export function logWith(log: Log, bound: object): Log {
  return {
    debug: (fields, message) => log.debug({ ...bound, ...fields }, message),
    info: (fields, message) => log.info({ ...bound, ...fields }, message),
    warn: (fields, message) => log.warn({ ...bound, ...fields }, message),
    error: (fields, message) => log.error({ ...bound, ...fields }, message),
  };
}
