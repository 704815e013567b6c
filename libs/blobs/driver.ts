import { type Digest, isDigest } from '#oci';
import type { Sink, Span, StoredBlob } from './port.js';
import type { SpoolFile } from './spool.js';

/**
 * Where committed blobs lie: no rules, only moving bytes. `VerifiedBlobStore` makes a `BlobStore` of it.
 * Errors are whatever the technology throws, except Failure BLOB_UNKNOWN from `read`.
 */
export interface BlobDriver {
  /** Uploads take bytes out of the spool before they are complete, and tell it by `SpoolFile.mayGo`. */
  readonly drains: boolean;
  stat(digest: Digest): Promise<{ size: number } | undefined>;
  read(digest: Digest, span: Span, sink: Sink, signal?: AbortSignal): Promise<void>;
  link(digest: Digest, seconds: number): Promise<string | undefined>;
  remove(digest: Digest): Promise<void>;
  /** In the order that `BlobStore.list` promises. */
  list(): AsyncIterable<StoredBlob>;
  /** Starts moving one blob out of its spool file. Does no I/O of its own yet. */
  upload(digest: Digest, spool: SpoolFile, size?: number): Upload;
  /** Removes unfinished uploads older than the bound that are not this process's; how many. */
  sweep(olderThanMs: number): Promise<number>;
  /** Removes unfinished uploads of `digest` that are not this process's. */
  abandon(digest: Digest): Promise<void>;
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** One blob on its way from the spool into the store. */
export interface Upload {
  /** The spool now has `span`; it may be moved already. Told once per byte, must not block or throw. */
  written(span: Span): void;
  /** All `size` bytes are in the spool and verified: makes them durable, then visible at once. May be tried again. */
  commit(size: number): Promise<void>;
  /** Drops what was moved. Not called after a successful commit. */
  abort(): Promise<void>;
}

/** `blobs/<algorithm>/<2 hex>/<hex>`: path and key alike. */
export function blobKey(digest: Digest): string {
  const [algorithm, hex = ''] = digest.split(':');
  return `blobs/${algorithm}/${hex.slice(0, 2)}/${hex}`;
}

/** The inverse of `blobKey`; undefined for anything that is not a blob's key. */
export function keyDigest(key: string): Digest | undefined {
  const [, algorithm, , hex] = key.split('/');
  const digest = `${algorithm}:${hex}`;
  return isDigest(digest) && blobKey(digest) === key ? digest : undefined;
}
