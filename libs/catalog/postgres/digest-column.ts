import type { ValueTransformer } from 'typeorm';
import type { Digest } from '#oci';

/** The hash alone, 32 or 64 bytes; its length tells the algorithm, since only sha256 and sha512 are registered. */
export function digestToBytes(digest: Digest): Buffer {
  return Buffer.from(digest.slice(digest.indexOf(':') + 1), 'hex');
}

export function digestFromBytes(bytes: Buffer): Digest {
  return `${bytes.length === 32 ? 'sha256' : 'sha512'}:${bytes.toString('hex')}`;
}

export const digestColumn: ValueTransformer = {
  to: (digest: Digest | null | undefined) => (digest == null ? digest : digestToBytes(digest)),
  from: (bytes: Buffer | null | undefined) => (bytes == null ? bytes : digestFromBytes(bytes)),
};
