import { type Digest, isDigest, isObject } from '#oci';
import { badArchive } from './archive.js';
import { digestOfPath } from './archive-reader.js';
import { json } from './named-images.js';

/**
 * Beside the OCI layout in our exports: every digest that the other side has once it has loaded this bundle and those
 * before it. The next bundle leaves these out.
 */
export const BUNDLE_FILE = 'ociregistry.json';

export function bundleDocument(holds: Iterable<Digest>): Buffer {
  return Buffer.from(`${JSON.stringify({ version: 1, holds: [...new Set(holds)].sort() }, null, 1)}\n`);
}

/** The digests that a member of an archive tells that its receiver has: of a blob its own, of our bundle file all. */
export function digestsOfMember(path: string, bytes: () => Buffer): Digest[] {
  if (path !== BUNDLE_FILE) {
    const digest = digestOfPath(path);
    return digest ? [digest] : [];
  }
  const document = json(bytes(), BUNDLE_FILE);
  const holds = isObject(document) && document.version === 1 ? document.holds : undefined;
  if (!Array.isArray(holds)) throw badArchive(`${BUNDLE_FILE} is of a version that this one does not know`);
  return holds.filter((digest) => typeof digest === 'string' && isDigest(digest));
}
