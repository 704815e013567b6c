/** `<algorithm>:<hex>`; only sha256 and sha512 are registered (image-spec descriptor.md#digests). */
export type Digest = `sha256:${string}` | `sha512:${string}`;

/** A repository of one upstream: the key of every permission and tag fact. Both parts are canonical. */
export interface Repository {
  /** Canonical upstream host, with port if not the default: `docker.io`, `127.0.0.1:5000`. */
  readonly upstream: string;
  /** Repository path below the upstream: `library/alpine`. */
  readonly path: string;
}

/** image-spec descriptor.md. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly platform?: Platform;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly urls?: readonly string[];
}

/** image-spec image-index.md#platform. */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}

/** A manifest or a blob. `reference` of a manifest is a tag or a digest. */
export type ContentTarget =
  | { readonly kind: 'manifest'; readonly repository: Repository; readonly reference: string }
  | { readonly kind: 'blob'; readonly repository: Repository; readonly digest: Digest; readonly size?: number };

/** What a tag names, and no more than HEAD tells: nobody has asked for the manifest itself. `reference` is the tag. */
export interface TagTarget {
  readonly kind: 'tag';
  readonly repository: Repository;
  readonly reference: string;
}

/** A list that the upstream gives: of a repository's tags, or of what refers to `digest` in it. */
export type ListTarget =
  | { readonly kind: 'tags'; readonly repository: Repository }
  | { readonly kind: 'referrers'; readonly repository: Repository; readonly digest: Digest };

/** What must become present in the cache, or known. */
export type Target = ContentTarget | TagTarget | ListTarget;
