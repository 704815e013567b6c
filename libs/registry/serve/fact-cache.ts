import { LRUCache } from 'lru-cache';
import { atMost } from '#async';
import type { ManifestRecord, TagRecord } from '#catalog';
import type { Digest, FailureRecord, Repository } from '#oci';

export interface FactCacheOptions {
  /** Bytes of manifests. */
  readonly manifestBytes: number;
  /** Bytes of small blobs. */
  readonly blobBytes: number;
  /** Milliseconds that a tag is believed without a look at the catalog; a signal ends it earlier. */
  readonly tagTtl: number;
  /** Milliseconds that an upstream's "no" is remembered. */
  readonly negativeTtl: number;
  /** Milliseconds between two tries to ask an upstream about a tag that is not fresh. */
  readonly retryAfter: number;
}

/** A tag as this process remembers it: `age` was right at `at` (epoch ms). */
interface RememberedTag extends TagRecord {
  readonly at: number;
  /** Of the manifest. */
  readonly key: string;
}

/** What is said of a manifest that is not here. */
export interface ManifestHead {
  readonly digest: Digest;
  readonly mediaType: string;
  /** Bytes. */
  readonly size: number;
}

/** Content or a tag of a repository, with its key made once for the many requests that ask for it. */
export interface Asked {
  readonly repository: Repository;
  /** Tag or digest. */
  readonly reference: string;
  readonly key: string;
}

export function asked(repository: Repository, reference: string): Asked {
  return { repository, reference, key: key(repository, reference) };
}

/**
 * What one gateway remembers: immutable facts, and facts that signals take away. Bounded; losing it costs a SELECT.
 */
export class FactCache {
  private readonly manifests: LRUCache<string, ManifestRecord>;
  private readonly blobs = new LRUCache<string, number>(atMost(200_000));
  /** By digest: bytes are shared, and whether a repository may have them is in `blobs`. */
  private readonly smallBlobs: LRUCache<Digest, Buffer>;
  /** Blobs that a puller of this process is about to bring. */
  private readonly expected = new LRUCache<string, true>({ max: 10_000 });
  private readonly tags: LRUCache<string, RememberedTag>;
  /** Of tags that are not cached, as an upstream's HEAD told at `at`. */
  private readonly heads = new LRUCache<string, ManifestHead & { readonly at: number }>(atMost(10_000));
  private readonly noes: LRUCache<string, FailureRecord>;
  private readonly asked: LRUCache<string, true>;
  private readonly troubles: LRUCache<string, FailureRecord>;

  constructor(private readonly options: FactCacheOptions) {
    this.manifests = new LRUCache({
      maxSize: options.manifestBytes,
      // A record costs more than its bytes.
      sizeCalculation: (manifest) => manifest.bytes.length + 512,
    });
    this.smallBlobs = new LRUCache({
      maxSize: options.blobBytes,
      sizeCalculation: (bytes) => bytes.length + 256,
    });
    // Without its time to live: the cache would set a timer for every millisecond in which it is asked.
    this.tags = new LRUCache(atMost(100_000));
    this.noes = new LRUCache({ ...atMost(10_000), ttl: options.negativeTtl });
    this.asked = new LRUCache({ ...atMost(10_000), ttl: options.retryAfter });
    this.troubles = new LRUCache({ ...atMost(10_000), ttl: options.retryAfter });
  }

  manifest(repository: Repository, digest: Digest): ManifestRecord | undefined {
    return this.manifests.get(key(repository, digest));
  }

  manifestAt(key: string): ManifestRecord | undefined {
    return this.manifests.get(key);
  }

  addManifest(repository: Repository, manifest: ManifestRecord): void {
    this.manifests.set(key(repository, manifest.digest), manifest);
  }

  blob(repository: Repository, digest: Digest): number | undefined {
    return this.blobs.get(key(repository, digest));
  }

  expectBlob(repository: Repository, digest: Digest): void {
    this.expected.set(key(repository, digest), true);
  }

  /** A puller of this process has been asked for it: whoever wants it need not look whether it is there. */
  expectsBlob(repository: Repository, digest: Digest): boolean {
    return this.expected.has(key(repository, digest));
  }

  addBlob(repository: Repository, digest: Digest, size: number): void {
    const k = key(repository, digest);
    this.expected.delete(k);
    this.blobs.set(k, size);
  }

  /** The whole blob, if this repository holds it. */
  blobBytes(repository: Repository, digest: Digest): Buffer | undefined {
    return this.blobBytesAt(key(repository, digest), digest);
  }

  blobBytesAt(key: string, digest: Digest): Buffer | undefined {
    return this.blobs.has(key) ? this.smallBlobs.get(digest) : undefined;
  }

  addBlobBytes(digest: Digest, bytes: Buffer): void {
    this.smallBlobs.set(digest, bytes);
  }

  removeBlob(repository: Repository, digest: Digest): void {
    this.blobs.delete(key(repository, digest));
    this.smallBlobs.delete(digest);
  }

  /** With `age` as of now, in ms. */
  tag(repository: Repository, name: string): TagRecord | undefined {
    return this.tagAt(key(repository, name));
  }

  /** As `tag`, and the key of its manifest. */
  tagAt(key: string): (TagRecord & Pick<RememberedTag, 'key'>) | undefined {
    const tag = this.tags.get(key);
    if (tag === undefined) return undefined;
    const since = Date.now() - tag.at;
    // A clock that was set back must not make a tag live for ever.
    if (since <= this.options.tagTtl && since >= 0) return { digest: tag.digest, age: tag.age + since, key: tag.key };
    this.tags.delete(key);
    return undefined;
  }

  addTag(repository: Repository, name: string, { digest, age }: TagRecord): void {
    this.tags.set(key(repository, name), { digest, age, at: Date.now(), key: key(repository, digest) });
  }

  /** What a tag that is not cached names, with its age in ms; who asks says how old it may be. */
  head(repository: Repository, tag: string): { readonly head: ManifestHead; readonly age: number } | undefined {
    const head = this.heads.get(key(repository, tag));
    return head && { head, age: performance.now() - head.at };
  }

  addHead(repository: Repository, tag: string, head: ManifestHead): void {
    this.removeTag(repository, tag);
    this.heads.set(key(repository, tag), { ...head, at: performance.now() });
  }

  /** The upstream has just said what it names; believed where the manifest is known as well. */
  moveTag(repository: Repository, name: string, digest?: Digest): void {
    this.removeTag(repository, name);
    if (digest && this.manifests.has(key(repository, digest))) this.addTag(repository, name, { digest, age: 0 });
  }

  private removeTag(repository: Repository, name: string): void {
    this.tags.delete(key(repository, name));
    for (const cache of [this.heads, this.noes, this.asked, this.troubles]) cache.delete(key(repository, name));
  }

  /** True once in a while: who gets it asks the upstream about the tag. */
  takesTurnToAsk(repository: Repository, tag: string): boolean {
    const k = key(repository, tag);
    if (this.asked.get(k)) return false;
    this.asked.set(k, true);
    return true;
  }

  /** Why the upstream could lately not be asked about a tag that we hold. */
  trouble(repository: Repository, tag: string): FailureRecord | undefined {
    return this.troubles.get(key(repository, tag));
  }

  addTrouble(repository: Repository, tag: string, failure: FailureRecord): void {
    this.troubles.set(key(repository, tag), failure);
  }

  no(repository: Repository, reference: string): FailureRecord | undefined {
    return this.noes.get(key(repository, reference));
  }

  addNo(repository: Repository, reference: string, failure: FailureRecord): void {
    this.noes.set(key(repository, reference), failure);
  }

  /**
   * Content has left the cache: of `repository` only, as when it is pruned, a hundred thousand times in a row; else of all,
   * which is rare, so that a scan is fine. A tag without its manifest is looked up anew.
   */
  removeContents(digests: readonly Digest[], repository?: Repository): void {
    if (repository) {
      for (const digest of digests) {
        this.manifests.delete(key(repository, digest));
        this.blobs.delete(key(repository, digest));
      }
      return;
    }
    const gone = new Set<string>(digests);
    for (const digest of digests) this.smallBlobs.delete(digest);
    for (const cache of [this.manifests, this.blobs]) {
      for (const k of [...cache.keys()]) if (gone.has(k.slice(k.lastIndexOf('@') + 1))) cache.delete(k);
    }
    for (const [k, tag] of [...this.tags.entries()]) if (gone.has(tag.digest)) this.tags.delete(k);
  }
}

// '@' stands in no host, path, tag or digest.
function key(repository: Repository, reference: string): string {
  return `${repository.upstream}/${repository.path}@${reference}`;
}
