import type { Digest, Failure } from '#oci';

/**
 * A blob up to this size in bytes is read whole, verified, and kept in memory by whoever serves it. Nobody is harmed when a
 * power cut leaves less of it than its name says.
 */
export const VERIFIED_WHEN_READ = 64 * 1024;

/** A half-open byte span `[offset, offset + length)`. */
export interface Span {
  readonly offset: number;
  readonly length: number;
}

/**
 * Content-addressed storage of verified bytes.
 *
 * Life of a blob: `ingest()` -> `write()`... -> `commit()`; before `commit()` resolves nothing is visible to `stat`
 * or `read`; afterwards all of it is. A crash in between leaves only an ingest, which `sweep()` removes.
 */
export interface BlobStore {
  /** Size in bytes of a committed blob, or undefined. */
  stat(digest: Digest): Promise<{ size: number } | undefined>;
  /**
   * Reads a span of a committed blob of `size` bytes into `sink`, at the sink's pace.
   * Rejects with Failure BLOB_UNKNOWN when the bytes are gone, UNAVAILABLE when the store cannot be reached.
   */
  read(digest: Digest, span: Span, sink: Sink, signal?: AbortSignal): Promise<void>;
  /**
   * A URL at which anybody may read the committed blob for `seconds`, by GET and with ranges. Undefined when there is no such
   * URL, or no such blob. Rejects with UNAVAILABLE when the store cannot be reached.
   */
  link(digest: Digest, seconds: number): Promise<string | undefined>;
  /**
   * Starts writing, when the spool has room for it. `size` is known for descriptors; without it the blob is as long as what
   * was written.
   */
  ingest(digest: Digest, options?: IngestOptions): Promise<Ingest>;
  /** Removes a committed blob; not an error when absent. Open reads finish, or fail with BLOB_UNKNOWN. */
  remove(digest: Digest): Promise<void>;
  /** Every committed blob, sha256 before sha512, each in the order of the hash. */
  list(): AsyncIterable<StoredBlob>;
  /**
   * Removes spool files that were not written to for `olderThanMs` and multipart uploads begun `uploadsOlderThanMs` ago (the
   * same by default) that no living ingest of this process owns; how many.
   */
  sweep(olderThanMs: number, uploadsOlderThanMs?: number): Promise<number>;
  /**
   * Drops what dead processes left of unfinished ingests of `digest`: whoever takes over a pull calls it. It cannot tell
   * dead from living ones of other processes, so only the holder of the lease may.
   */
  abandon(digest: Digest): Promise<void>;
  /** Removes the spool files that dead processes of this machine left; how many. For the start of a puller. */
  reclaim(): Promise<number>;
  /** Resolves when the store answers; rejects with the reason when not. For readiness. */
  ping(): Promise<void>;
  /** Aborts living ingests and frees sockets. */
  close(): Promise<void>;
}

export interface StoredBlob {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** When it was written, by the store's clock. */
  readonly storedAt: Date;
}

/**
 * Takes the bytes of a read. `write` may return a promise: the next chunk comes after it resolves (back-pressure).
 * The chunk is only valid until that promise resolves, since read buffers are reused.
 */
export interface Sink {
  write(chunk: Buffer): void | Promise<void>;
}

export interface IngestOptions {
  /** Bytes, when known beforehand. A body that is longer or shorter is refused. */
  readonly size?: number;
  /** Ends the wait for room in the spool. */
  readonly signal?: AbortSignal;
  /**
   * Told once when there is no room for the blob, on the disk or in the store: it can be written to its end and verified all
   * the same, through a window in memory, but not be committed. Without it such an ingest fails and is aborted.
   */
  readonly onFull?: (failure: Failure) => void;
}

/**
 * A blob being written; the spool of a running transfer. Spans may be written in any order and read back as soon as
 * they are written. Hashing follows the contiguous frontier.
 */
export interface Ingest {
  readonly digest: Digest;
  /** Every byte before this offset is written. */
  readonly frontier: number;
  /** Bytes before this offset have left the spool, which is smaller than the blob: they can be read after the commit. */
  readonly start: number;
  /** The blob does not fit into the spool: it must be written in order, and `write` waits until older bytes have left. */
  readonly windowed: boolean;
  /**
   * Why it cannot be committed: no room. It must be written in order from then on, and `write` waits until `mayGo` lets older
   * bytes leave.
   */
  readonly full: Failure | undefined;
  /**
   * Writes `chunk` at `offset`; the buffer may be reused once the promise resolves. Bytes written before are left as
   * they are. Rejects with Failure UPSTREAM_CONTENT past `size`; with UNAVAILABLE, origin `store`, when the disk fails, or is
   * full and nobody wants to be told (`onFull`), and the ingest is aborted then. The disk may fail an earlier write's bytes.
   */
  write(offset: number, chunk: Buffer): Promise<void>;
  /** How many bytes from `offset` on are written without a gap and have not left. */
  runAt(offset: number): number;
  /** When full: nobody reads before `offset` any more. */
  mayGo(offset: number): void;
  /** Reads written bytes into `into`; returns how many, 0 when they have just left. The caller asks only for what was written. */
  read(offset: number, into: Buffer): Promise<number>;
  /**
   * Checks size and digest, then makes the blob visible atomically. Rejects with Failure UPSTREAM_CONTENT on a
   * mismatch; nothing is visible then. With UNAVAILABLE, origin `store`, it may be called again. Committing a digest that
   * is present already succeeds. Returns the size in bytes.
   */
  commit(): Promise<number>;
  /**
   * Resolves when size and digest of all that was written are right, before the bytes are durable; rejects as
   * `commit` would. Readers get the withheld tail from here on.
   */
  verify(): Promise<number>;
  /** Drops everything; idempotent, and harmless after commit. Bytes stay readable until `release`. */
  abort(): Promise<void>;
  /** Frees the spool file once nobody reads it any more (after commit or abort). */
  release(): Promise<void>;
}
