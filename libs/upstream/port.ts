import type { Descriptor, Digest, Repository } from '#oci';

/** The registries we pull from, as a client. Every call is bounded; every error is a Failure (WIRE.md A94 and B). */
export interface Upstream {
  /**
   * HEAD of a manifest, falling back to GET where the registry does not answer HEAD with a digest (WIRE.md B27, B28); what
   * that has fetched is in `bytes`. `size` in bytes.
   * Rejects MANIFEST_UNKNOWN / NAME_UNKNOWN / DENIED / RATE_LIMITED / UPSTREAM_*.
   */
  headManifest(repository: Repository, reference: string, options?: CallOptions): Promise<ManifestHead>;
  /** GET with the full Accept list; bytes at most 4 MiB, hashed; by digest they match it or the call rejects UPSTREAM_CONTENT. */
  getManifest(repository: Repository, reference: string, options?: CallOptions): Promise<FetchedManifest>;
  /** HEAD of a blob: does this repository hold it, how long is it. Rejects BLOB_UNKNOWN. */
  headBlob(repository: Repository, digest: Digest, options?: CallOptions): Promise<{ size?: number; ranges: boolean }>;
  /**
   * Opens a blob body at `offset`. The answer may start at 0 although an offset was asked (no Range support): look at
   * `offset`. The caller consumes or aborts the body.
   */
  getBlob(
    repository: Repository,
    digest: Digest,
    span?: { offset: number; length?: number },
    options?: CallOptions & { ifRange?: string },
  ): Promise<BlobBody>;
  /** Every tag of the repository, page by page; invalid ones are left out. Rejects NAME_UNKNOWN. */
  listTags(repository: Repository, options?: CallOptions): Promise<string[]>;
  /**
   * What refers to `digest`: by the referrers API, else by the tag that stands in for it (distribution-spec "Referrers Tag
   * Schema"). Empty when nothing does, or the repository is unknown to a registry without the API.
   */
  listReferrers(repository: Repository, digest: Digest, options?: CallOptions): Promise<Descriptor[]>;
  /** Whether `host` (canonical) may be pulled from under the configuration. No network. */
  allows(host: string): boolean;
  /** How the configured upstreams, and those asked lately, are doing as this process sees it. No network. */
  states(): readonly UpstreamState[];
  /** Milliseconds that background work for this upstream is better put off; 0: it may go. No network. */
  backgroundWait(host: string): number;
  /** Makes requests to an upstream rest, or (without `pause`) go again. Not reported to `onPaused`. */
  rest(host: string, pause: Pause | undefined): void;
  close(): Promise<void>;
}

/** Who waits for a request: while an upstream's window is nearly used up, only interactive requests go. */
export type Priority = 'interactive' | 'background';

/** How an answer came about. */
export interface Answered {
  /** Who gave it: the upstream's own host, or a mirror's. */
  readonly from: string;
  /** Milliseconds from the question to the answer; of a blob, to its headers. */
  readonly ms: number;
  /** Milliseconds of those in which the question was held, since the upstream rests for a moment. */
  readonly held?: number;
  /** Mirrors that were asked before, and why they did not answer. */
  readonly passed?: readonly { readonly mirror: string; readonly reason: string }[];
}

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** Default interactive. */
  readonly priority?: Priority;
  /** The hops that the request has taken so far, as `Via` says them; ours is added. */
  readonly via?: string;
  /** Told before the call resolves. */
  readonly onAnswer?: (answered: Answered) => void;
}

/** Requests to an upstream rest. */
export interface Pause {
  readonly cause: 'rate-limited' | 'exhausted' | 'manual';
  /** Epoch milliseconds by this process's clock. */
  readonly until: number;
  /** Requests that the upstream does not count go on (Docker Hub: HEAD, and blobs). */
  readonly countedOnly: boolean;
}

/** An upstream's rate limit as its answers tell it. */
export interface Quota {
  readonly limit: number;
  readonly remaining: number;
  /** Seconds. */
  readonly window?: number;
  /** Seconds from `at` until the window begins anew. */
  readonly reset?: number;
  /** Epoch milliseconds. */
  readonly at: number;
}

export interface UpstreamState {
  /** Canonical host. */
  readonly upstream: string;
  /** Named in the configuration. */
  readonly configured: boolean;
  readonly pause?: Pause;
  readonly quota?: Quota;
  /** Epoch milliseconds until which the breaker lets nothing through. */
  readonly failingUntil?: number;
}

export interface ManifestHead {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly size?: number;
  readonly bytes?: Buffer;
}

export interface FetchedManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Buffer;
}

export interface BlobBody {
  /** Where the body starts. */
  readonly offset: number;
  /** Whole size of the blob in bytes, when the registry tells. */
  readonly size?: number;
  /** Strong validator for If-Range, when there is one. */
  readonly etag?: string;
  /** Whether it answered a range, or says that it would. */
  readonly ranges: boolean;
  /** Identity-encoded bytes. Rejects with a Failure when the connection breaks or idles too long. */
  readonly body: AsyncIterable<Buffer>;
  /** Closes the connection; idempotent. */
  abort(): void;
}
