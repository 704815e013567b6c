import { createHash } from 'node:crypto';
import { Failure } from './failure.js';
import type { Digest } from './types.js';

const DIGEST = /^(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$/;

export type DigestAlgorithm = 'sha256' | 'sha512';

/** image-spec descriptor.md#registered-algorithms: lower-case hex of the right length, sha256 or sha512. */
export function isDigest(text: string): text is Digest {
  return DIGEST.test(text);
}

/** Throws Failure DIGEST_INVALID. */
export function parseDigest(text: string): Digest {
  if (!isDigest(text)) throw new Failure('DIGEST_INVALID');
  return text;
}

export function digestOf(bytes: Uint8Array | string, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
}

export interface Hasher {
  update(chunk: Buffer): void;
  /** Of everything so far; ends the hasher. */
  digest(): Digest;
}

/** Hashes with the algorithm of `expected`, so that a sha512 digest is verified with sha512. */
export function hasherFor(expected: Digest): Hasher {
  const algorithm: DigestAlgorithm = expected.startsWith('sha512:') ? 'sha512' : 'sha256';
  const hash = createHash(algorithm);
  return {
    update: (chunk) => {
      hash.update(chunk);
    },
    digest: () => `${algorithm}:${hash.digest('hex')}`,
  };
}
