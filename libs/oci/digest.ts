import { createHash } from 'node:crypto';
import { Failure } from './failure.js';
import type { Digest } from './types.js';

const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

export function isDigest(text: string): text is Digest {
  return DIGEST.test(text);
}

/** Throws Failure DIGEST_INVALID (image-spec descriptor.md#digests; upper-case hex is not canonical). */
export function parseDigest(text: string): Digest {
  if (!isDigest(text)) throw new Failure('DIGEST_INVALID');
  return text;
}

export function digestOf(bytes: Buffer | string, algorithm: 'sha256' | 'sha512' = 'sha256'): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
}

/** Hashes with the algorithm that `digest` names. */
export function hasherFor(digest: Digest): { update(chunk: Buffer): void; digest(): Digest } {
  const algorithm = digest.startsWith('sha512:') ? 'sha512' : 'sha256';
  const hash = createHash(algorithm);
  return {
    update: (chunk) => void hash.update(chunk),
    digest: () => `${algorithm}:${hash.digest('hex')}`,
  };
}
