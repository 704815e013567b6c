import type { Digest, Repository } from '#oci';
import type { ManifestRecord } from './port.js';

/**
 * All that is held, read in bulk and in a stable order for checks and for the journal beside the blobs; never on the path
 * of a pull. Every page goes on behind `after`, the place of the last row of the page before.
 */
export interface Holdings {
  /** By the hash alone, whatever its algorithm. */
  blobs(after: Digest | undefined, limit: number): Promise<{ readonly digest: Digest; readonly size: number }[]>;
  /** Hashed by the database itself, so that no bytes travel. */
  checkManifests(after: string | undefined, limit: number): Promise<(CheckedManifest & { readonly place: string })[]>;
  checkManifest(digest: Digest): Promise<CheckedManifest | undefined>;
  manifests(after: readonly string[] | undefined, limit: number): Promise<readonly HeldManifest[]>;
  tags(after: readonly string[] | undefined, limit: number): Promise<readonly HeldTag[]>;
  /** Which repository holds which blob. */
  grants(after: readonly string[] | undefined, limit: number): Promise<readonly HeldBlob[]>;
  /** Repositories that hold a blob. */
  holders(digest: Digest): Promise<Repository[]>;
  /** Takes a manifest from every repository. What it tells is enough to give the tags back once the bytes are there again. */
  dropManifest(digest: Digest): Promise<{ readonly repository: Repository; readonly tags: readonly KeptTag[] }[]>;
  /** Where the repository holds the digest and knows nothing newer of the tag. No move is recorded: it is none. */
  restoreTag(repository: Repository, digest: Digest, tag: KeptTag): Promise<boolean>;
}

export interface CheckedManifest {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** Whether the bytes have the digest. */
  readonly intact: boolean;
}

export interface KeptTag {
  readonly name: string;
  readonly checkedAt: Date;
  readonly movedAt: Date;
}

interface Placed {
  readonly repository: Repository;
  readonly place: readonly string[];
}

export interface HeldManifest extends Placed, ManifestRecord {}

export interface HeldTag extends Placed, KeptTag {
  readonly digest: Digest;
}

export interface HeldBlob extends Placed {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}
