import { createHash } from 'node:crypto';

/** Bytes that can be read from any offset without being held: real ones, or generated from a seed. */
export interface BlobSource {
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
  /** The span `[offset, offset + length)`; chunks must not be changed by the caller. */
  chunks(offset: number, length: number): Iterable<Buffer>;
}

export interface GeneratedBlob {
  /** Bytes. */
  readonly size: number;
  /** Equal seeds and sizes give equal bytes, hence equal digests. Default 1. */
  readonly seed?: number;
}

const BLOCK = 1 << 20;
const COUNTER = 8;

export function sha256(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** Deterministic bytes that gzip cannot shrink (xorshift32). */
export function randomBytes(size: number, seed: number): Buffer {
  const words = new Uint32Array(Math.ceil(size / 4));
  let x = (Math.imul(seed, 2654435761) ^ 0x9e3779b9) >>> 0 || 1;
  for (let i = 0; i < words.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[i] = x;
  }
  return Buffer.from(words.buffer, 0, size);
}

export function bytesSource(bytes: Buffer, digest = sha256(bytes)): BlobSource {
  return {
    digest,
    size: bytes.length,
    *chunks(offset, length) {
      if (length > 0) yield bytes.subarray(offset, offset + length);
    },
  };
}

const digests = new Map<string, string>();

/**
 * A blob of any size for the memory of one block: block i is the seed's block with its first 8 bytes replaced by i.
 * The digest of each (size, seed) is computed once per process.
 */
export function generatedSource({ size, seed = 1 }: GeneratedBlob): BlobSource {
  const block = randomBytes(BLOCK, seed);
  function* chunks(offset: number, length: number): Iterable<Buffer> {
    const end = offset + length;
    for (let at = offset; at < end; ) {
      const index = Math.floor(at / BLOCK);
      const from = at - index * BLOCK;
      const to = Math.min(BLOCK, end - index * BLOCK);
      if (from < COUNTER) {
        const counter = Buffer.alloc(COUNTER);
        counter.writeBigUInt64BE(BigInt(index));
        yield counter.subarray(from, Math.min(COUNTER, to));
      }
      if (to > COUNTER) yield block.subarray(Math.max(from, COUNTER), to);
      at = index * BLOCK + to;
    }
  }
  const key = `${size}/${seed}`;
  let digest = digests.get(key);
  if (digest === undefined) {
    const hash = createHash('sha256');
    for (const chunk of chunks(0, size)) hash.update(chunk);
    digest = `sha256:${hash.digest('hex')}`;
    digests.set(key, digest);
  }
  return { digest, size, chunks };
}

/** The whole blob in memory; for small ones. */
export function bytesOf(source: BlobSource): Buffer {
  return Buffer.concat([...source.chunks(0, source.size)]);
}
