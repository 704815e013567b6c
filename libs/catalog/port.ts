import type { Descriptor, Digest, FailureRecord, Page, PageQuery, Repository, Target } from '#oci';
import type { DutyRoster } from './duties.js';
import type { Holdings } from './holdings.js';
import type { Inventory } from './inventory.js';
import type { Pruning } from './pruning.js';
import type { UsageLedger } from './usage.js';

/** A manifest as stored: upstream's bytes, verbatim. */
export interface ManifestRecord {
  readonly digest: Digest;
  /** Byte-equal to what the upstream sent, without parameters. */
  readonly mediaType: string;
  readonly bytes: Buffer;
}

/** An edge of the content graph: `child` is named by the manifest that holds it. */
export interface Edge {
  readonly child: Digest;
  readonly kind: 'config' | 'layer' | 'manifest';
  /** Bytes of the child, as its descriptor says. */
  readonly size: number;
  /** `os/architecture[/variant]` of a child manifest. */
  readonly platform?: string;
}

export interface NewManifest extends ManifestRecord {
  readonly edges: readonly Edge[];
  /** image-spec `subject`, for referrers. */
  readonly subject?: Digest;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface TagRecord {
  readonly digest: Digest;
  /** Milliseconds since the upstream last confirmed it, by the database's clock at the time of the answer. */
  readonly age: number;
}

/** A list as the upstream gave it last, and what the catalog has learnt besides. */
export interface Listing<T> {
  /** Undefined while the upstream was never asked. `age` in milliseconds, by the database's clock. */
  readonly listed?: { readonly entries: readonly T[]; readonly age: number };
  /** What is held and was confirmed or stored after that list was made; all that is held when there is none. */
  readonly held: readonly T[];
}

/** Names as clients can ask for them: those of `plain` without a host, all others as `<upstream>/<path>`. */
export interface RepositoryNames {
  /** The upstream of names that tell no host, and the first segments that would be taken for a host all the same. */
  readonly plain?: { readonly upstream: string; readonly hosts: readonly string[] };
  /** Only this upstream's repositories, all as plain paths. */
  readonly only?: string;
  /** Only those of which one of these expressions matches `<upstream>/<path>`. */
  readonly visible?: readonly string[];
}

/** Sizes in bytes. */
export interface BlobKnowledge {
  /** This repository has shown the blob itself. */
  readonly held?: number;
  /** Some repository has: the bytes are here, the permission is not. */
  readonly stored?: number;
  /** What a manifest of this repository says. No permission follows from it. */
  readonly described?: number;
}

export interface Access {
  readonly repository: Repository;
  readonly digest: Digest;
  readonly at: Date;
  /** Who it was: address and name for itself. */
  readonly client?: string;
}

/** What is cached. Facts are per (upstream, repository); bytes are shared (WIRE.md decision 9). */
export interface Catalog {
  // Hot path: one named prepared statement each.
  findTag(
    repository: Repository,
    tag: string,
  ): Promise<(TagRecord & { readonly manifest: ManifestRecord }) | undefined>;
  /** Only what this repository has shown itself. */
  findManifest(repository: Repository, digest: Digest): Promise<ManifestRecord | undefined>;
  /** Only what this repository has shown itself; `size` in bytes. */
  findBlob(repository: Repository, digest: Digest): Promise<{ readonly size: number } | undefined>;
  /** What a worker needs to know of a blob before it fetches it; calls of one moment share a statement. */
  knowBlob(repository: Repository, digest: Digest): Promise<BlobKnowledge>;

  // Facts, each in one transaction, idempotent, safe when two processes tell the same.
  /** Records the manifest, its edges, that the repository holds it and, with `tag`, what the tag names. */
  storeManifest(repository: Repository, manifest: NewManifest, tag?: string): Promise<{ readonly moved: boolean }>;
  /** The upstream confirmed what the tag names without sending the manifest (HEAD). False when the digest is not held. */
  confirmTag(repository: Repository, tag: string, digest: Digest): Promise<boolean>;
  /** The upstream says that the tag is gone. */
  removeTag(repository: Repository, tag: string): Promise<void>;
  /** The bytes are in the blob store and the repository holds them. */
  storeBlob(repository: Repository, digest: Digest, size: number): Promise<void>;
  /** Tags in no order. */
  findTags(repository: Repository): Promise<Listing<string>>;
  storeTagList(repository: Repository, tags: readonly string[]): Promise<void>;
  /** Descriptors of manifests whose `subject` is `digest`, in no order. */
  findReferrers(repository: Repository, digest: Digest): Promise<Listing<Descriptor>>;
  storeReferrers(repository: Repository, digest: Digest, referrers: readonly Descriptor[]): Promise<void>;
  /** Repositories of which a manifest is held, in the order of their names' bytes. `n` is required, at most 10,000. */
  listRepositories(names: RepositoryNames, page: PageQuery & { readonly n: number }): Promise<Page<string>>;
  /** Bytes turned out to be lost or bad: no repository holds them any more. */
  forgetBlob(digest: Digest): Promise<void>;
  /** Batched access times; never called per request. A manifest's access is one of the indexes above it, too. */
  touch(items: readonly Access[]): Promise<void>;
  counts(): Promise<CatalogCounts>;
  /** Keeps `counts` quick; now and then is enough. */
  foldTotals(): Promise<void>;
  /** Removes moves of tags older than `ms`, but never the newest of a tag. How many. */
  expireTagHistory(ms: number): Promise<number>;

  readonly pulls: PullLedger;
  readonly upstreams: UpstreamLedger;
  readonly inventory: Inventory;
  readonly holdings: Holdings;
  readonly usage: UsageLedger;
  readonly duties: DutyRoster;
  readonly pruning: Pruning;

  /** Connections to the database as they are now. No network. */
  pool(): PoolState;
  /** What distinguishes this installation from every other; the same in all of its processes, for ever. */
  installation(): Promise<string>;
  ping(): Promise<void>;
  close(): Promise<void>;
}

export interface PoolState {
  readonly idle: number;
  readonly busy: number;
  /** Statements that wait for a connection. */
  readonly waiting: number;
}

export interface CatalogCounts {
  readonly repositories: number;
  readonly manifests: number;
  readonly manifestBytes: number;
  readonly blobs: number;
  readonly blobBytes: number;
  readonly tags: number;
}

/**
 * The rows that guarantee one worker per pull. All times are the database's clock.
 *
 *   (none) --claim--> running --finish--> finished
 *   running --lease over, claim--> running (attempt + 1)
 *   finished --claim--> running (attempt 1)
 *   running --lease long over--> finished
 *
 * `attempt` fences: announce, renew and finish of an older attempt change nothing and answer false.
 */
export interface PullLedger {
  claim(key: string, target: Target, worker: string, leaseMs: number): Promise<Claim>;
  /** Extends the lease; false when it was lost. */
  renew(claim: ClaimRef, leaseMs: number): Promise<boolean>;
  /** Tells late joiners where the bytes flow. `relay` is opaque here (JSON). */
  announce(claim: ClaimRef, relay: unknown, size: number | undefined): Promise<boolean>;
  finish(claim: ClaimRef, failure?: FailureRecord): Promise<boolean>;
  /** Ends the claim as if it had never been made; false when it was lost. */
  release(claim: ClaimRef): Promise<boolean>;
  find(key: string): Promise<PullRow | undefined>;
  /** Removes finished rows older than `ms`. Returns how many. */
  expire(ms: number): Promise<number>;
  /**
   * Finishes, as failed, the running pulls that nobody has taken over `ms` after their lease was over: nobody waits for them
   * any more. Returns how many.
   */
  endLost(ms: number): Promise<number>;
}

export interface ClaimRef {
  readonly key: string;
  readonly worker: string;
  readonly attempt: number;
  /** Different for every claim that was ever made. Without it a worker's old ref could pass for its newer one. */
  readonly token?: string;
}

export type Claim =
  | {
      readonly outcome: 'claimed';
      readonly ref: ClaimRef;
      /** How the pull ended last, when that was not long ago: failure and its age in ms. For remembering an upstream's "no". */
      readonly previous?: { readonly failure?: FailureRecord; readonly age: number };
    }
  /** Another worker holds the lease for `remaining` more milliseconds. */
  | { readonly outcome: 'held'; readonly worker: string; readonly remaining: number };

export interface PullRow {
  readonly key: string;
  readonly target: Target;
  readonly state: 'running' | 'finished';
  readonly attempt: number;
  readonly worker: string;
  /** Milliseconds until the lease ends; negative when it is over. Meaningful while running. */
  readonly leaseRemaining: number;
  readonly relay?: unknown;
  readonly size?: number;
  readonly failure?: FailureRecord;
  /** Milliseconds since the last change. */
  readonly age: number;
}

/** What the processes tell each other about upstreams. All times are the database's clock. */
export interface UpstreamLedger {
  /** Requests rest for `ms`; a shorter pause than the one in force changes nothing, unless it is an operator's. */
  pause(upstream: string, ms: number, pause: { readonly cause: string; readonly countedOnly: boolean }): Promise<void>;
  /** Ends the pause. */
  resume(upstream: string): Promise<void>;
  /** Keeps what one process has seen; what is left out stays. */
  report(upstream: string, seen: UpstreamReport): Promise<void>;
  list(): Promise<UpstreamRow[]>;
}

export interface UpstreamReport {
  /** Milliseconds that a process's breaker lets nothing through. */
  readonly failingFor?: number;
  /** JSON, opaque here. */
  readonly quota?: object;
}

export interface UpstreamRow {
  readonly upstream: string;
  /** `remaining` in ms; absent when no pause is in force. */
  readonly pause?: { readonly cause: string; readonly remaining: number; readonly countedOnly: boolean };
  /** Milliseconds. */
  readonly failingFor?: number;
  readonly quota?: object;
  /** Milliseconds since the quota was reported. */
  readonly quotaAge?: number;
}
