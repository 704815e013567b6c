import type { Digest, FailureRecord, Repository, Target } from '#oci';

/** What operators ask of the cache. Never on the path of a pull; every answer is bounded by the statement's time-out. */
export interface Inventory {
  /** Tags, and manifests that no tag and no index of their repository names. */
  images(filter: ContentFilter, page: Page<ImageSort>): Promise<Listed<ImageEntry>>;
  manifests(filter: ContentFilter, page: Page<ManifestSort>): Promise<Listed<ManifestEntry>>;
  tags(filter: ContentFilter, page: Page<TagSort>): Promise<Listed<TagEntry>>;
  /** Of the filter only sizes and times; a pattern is matched against the digest. */
  blobs(filter: ContentFilter, page: Page<BlobSort>): Promise<Listed<BlobEntry>>;
  /** The newest change first. */
  pulls(filter: PullFilter, page: Page<'changedAt'>): Promise<Listed<PullEntry>>;
  /** One image in full, or undefined when the repository does not hold it. `reference`: tag or digest. */
  image(repository: Repository, reference: string): Promise<ImageDetail | undefined>;
  totals(): Promise<readonly UpstreamTotals[]>;
}

export type ImageSort = 'reference' | 'size' | 'storedAt' | 'lastAccess';
export type ManifestSort = 'repository' | 'size' | 'storedAt' | 'lastAccess';
export type TagSort = 'reference' | 'movedAt' | 'checkedAt';
export type BlobSort = 'digest' | 'size' | 'storedAt' | 'lastAccess';

export interface ContentFilter {
  /** Regular expressions as PostgreSQL reads them, not anchored; one must match the reference. See `parsePatterns`. */
  readonly patterns?: readonly string[];
  readonly upstream?: string;
  /** `os/architecture[/variant]`; only images whose index names it. */
  readonly platform?: string;
  /** Bytes, both inclusive. */
  readonly minSize?: number;
  readonly maxSize?: number;
  readonly storedBefore?: Date;
  readonly storedAfter?: Date;
  readonly accessedBefore?: Date;
  readonly accessedAfter?: Date;
}

export interface PullFilter {
  readonly state?: 'running' | 'finished' | 'failed';
  readonly upstream?: string;
}

export interface Page<Sort> {
  readonly sort: Sort;
  readonly descending: boolean;
  /** At most this many. */
  readonly limit: number;
  /** `next` of the page before. */
  readonly after?: readonly string[];
}

export interface Listed<Item> {
  readonly items: readonly Item[];
  /** Where the next page starts; absent on the last one. */
  readonly next?: readonly string[];
}

/** What every entry of a repository tells. */
export interface HeldContent {
  readonly repository: Repository;
  readonly digest: Digest;
  readonly mediaType: string;
  readonly artifactType?: string;
  readonly storedAt: Date;
  readonly lastAccess: Date;
}

export interface ImageEntry extends HeldContent {
  readonly tag?: string;
  /** Of the held children of an index. */
  readonly platforms: readonly string[];
  /** Bytes of manifests, configs and layers of what the repository holds of it, as the descriptors say. */
  readonly size: number;
}

export interface ManifestEntry extends HeldContent {
  readonly subject?: Digest;
  /** Bytes of the manifest itself. */
  readonly size: number;
  readonly tags: readonly string[];
}

export interface TagEntry {
  readonly repository: Repository;
  readonly tag: string;
  readonly digest: Digest;
  readonly mediaType: string;
  /** When the upstream last confirmed it. */
  readonly checkedAt: Date;
  /** Since when it names this digest. */
  readonly movedAt: Date;
}

export interface BlobEntry {
  readonly digest: Digest;
  readonly size: number;
  readonly storedAt: Date;
  readonly lastAccess: Date;
  /** Repositories that hold it. */
  readonly repositories: number;
}

export interface PullEntry {
  readonly key: string;
  readonly target: Target;
  readonly state: 'running' | 'finished';
  readonly attempt: number;
  readonly worker: string;
  readonly size?: number;
  readonly startedAt: Date;
  readonly changedAt: Date;
  readonly failure?: FailureRecord;
}

export interface ImageDetail extends ImageEntry {
  /** The root and, below an index, its children. */
  readonly tree: ImageNode;
  /** Moves of the tag, the newest first, at most 100. `digest` is absent when the upstream said that it is gone. */
  readonly history: ReadonlyArray<{ readonly at: Date; readonly digest?: Digest }>;
}

export interface ImageNode {
  readonly digest: Digest;
  readonly mediaType?: string;
  readonly platform?: string;
  /** Bytes of the manifest. */
  readonly size: number;
  /** Whether the repository holds it. */
  readonly held: boolean;
  readonly lastAccess?: Date;
  /** Who asked for it last: address and name for itself. */
  readonly lastClient?: string;
  readonly children: readonly ImageNode[];
  readonly contents: readonly ImageContent[];
}

export interface ImageContent {
  readonly kind: 'config' | 'layer';
  readonly digest: Digest;
  readonly size: number;
  /** Whether its bytes are stored. */
  readonly held: boolean;
  /** Other repositories that hold a manifest with it; at most 20. */
  readonly sharedBy: readonly Repository[];
}

export interface UpstreamTotals {
  readonly upstream: string;
  readonly repositories: number;
  readonly tags: number;
  readonly manifests: number;
}
