import { createCipheriv } from 'node:crypto';
import { Deferred } from '#async';
import { type Digest, digestOf } from '#oci';
import type { BlobStore, Ingest, Sink, Span } from './port.js';

/** A store for one test, and what lies in it beside committed blobs. */
export interface BlobStoreHarness {
  readonly store: BlobStore;
  /** Another process's store over the same bytes. */
  another(): BlobStore;
  /** Spool files and unfinished uploads for `digest`, of anybody. */
  unfinished(digest: Digest): Promise<number>;
  /** How many of those a process leaves that dies in the middle of a blob of several parts. */
  readonly leftovers: number;
  /** How a child process makes the same store: an expression over the module `adapters`. */
  readonly expression: string;
  close(): Promise<void>;
}

export interface Sample {
  readonly bytes: Buffer;
  readonly digest: Digest;
}

/** Bytes that differ at every offset of any alignment, so that a misplaced span cannot go unseen. */
export function sample(size: number, seed = 1, algorithm: 'sha256' | 'sha512' = 'sha256'): Sample {
  const key = Buffer.alloc(16, seed);
  const bytes = createCipheriv('aes-128-ctr', key, key).update(Buffer.alloc(size));
  return { bytes, digest: digestOf(bytes, algorithm) };
}

/** Writes `bytes` in order, in pieces as a socket delivers them. */
export async function writeAll(ingest: Ingest, bytes: Buffer, offset = 0, piece = 64 * 1024): Promise<void> {
  for (let at = 0; at < bytes.length; at += piece) {
    await ingest.write(offset + at, bytes.subarray(at, at + piece));
  }
}

export async function put(store: BlobStore, { bytes, digest }: Sample): Promise<void> {
  const ingest = await store.ingest(digest, { size: bytes.length });
  await writeAll(ingest, bytes);
  await ingest.commit();
  await ingest.release();
}

export async function readBack(store: BlobStore, digest: Digest, span: Span): Promise<Buffer> {
  const chunks: Buffer[] = [];
  // The chunk is only valid until `write` returns: copy.
  await store.read(digest, span, { write: (chunk) => void chunks.push(Buffer.from(chunk)) });
  return Buffer.concat(chunks);
}

/** A sink that takes one chunk and then nothing until told. */
export class StuckSink implements Sink {
  readonly first = new Deferred<Buffer>();
  readonly go = new Deferred();
  readonly chunks: Buffer[] = [];

  async write(chunk: Buffer): Promise<void> {
    this.chunks.push(Buffer.from(chunk));
    this.first.resolve(chunk);
    await this.go.promise;
  }
}
