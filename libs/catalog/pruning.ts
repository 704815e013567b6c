import type { Digest, Repository } from '#oci';

/** What is to go: images that every condition given holds for; all of them when none is given. */
export interface PruneRule {
  /** Not served since. */
  readonly accessedBefore?: Date;
  /** Not stored since. */
  readonly storedBefore?: Date;
  /**
   * Regular expressions as PostgreSQL reads them, not anchored; one must match the reference. Of an image with several
   * tags only those that match go, and the image with the last of them. See `parsePatterns`.
   */
  readonly patterns?: readonly string[];
  /** Bytes of blobs that may stay; the least recently used images go until no more are left than that. */
  readonly toSize?: number;
  /** Images at most; the least recently used first. */
  readonly count?: number;
}

/** What stays whatever the rule says. */
export interface PruneProtection {
  /** Milliseconds; what was served or stored within stays, with all that it refers to. */
  readonly servedWithin: number;
  /** As `patterns` of a rule. */
  readonly keep: readonly string[];
  /** For references of tags; the first that matches decides. */
  readonly pins: readonly { readonly expression: string; readonly pin: boolean }[];
}

export interface PruneCounts {
  /** Images of a repository that go as a whole. */
  readonly images: number;
  readonly tags: number;
  /** Manifests and blobs that no repository holds any more. */
  readonly manifests: number;
  readonly blobs: number;
  /** Of those manifests and blobs. */
  readonly bytes: number;
}

export interface PrunePlan extends PruneCounts {
  /** Images that the rule is for and that are protected. */
  readonly protected: number;
  /** Nothing would be left. */
  readonly everything: boolean;
  /** Bytes that are above `toSize` even after all that may go is gone. */
  readonly above?: number;
}

export type PruneState = 'planned' | 'running' | 'done' | 'failed' | 'cancelled';

export interface PruneJob {
  readonly id: string;
  /** Asked for, by `pruneConfig`, or by `cache.maxSize`. */
  readonly cause: 'request' | 'schedule' | 'size';
  readonly rule: PruneRule;
  readonly state: PruneState;
  readonly createdAt: Date;
  readonly finishedAt?: Date;
  readonly planned: PrunePlan;
  /** So far. */
  readonly removed: PruneCounts;
  readonly error?: string;
}

/** One image of a plan that has not been carried out. */
export interface PruneItem {
  readonly repository: Repository;
  readonly digest: Digest;
  /** The tags that go. */
  readonly tags: readonly string[];
  /** Whether the image goes too. */
  readonly whole: boolean;
  readonly lastAccess: Date;
}

/** What one step has removed from repositories. */
export interface PruneStep {
  readonly contents: readonly { readonly repository: Repository; readonly digests: readonly Digest[] }[];
  /** Blobs that no repository holds any more; their bytes and rows are still there. */
  readonly unheld: readonly Digest[];
}

/**
 * Plans what leaves the cache and carries it out in small transactions, exact over repository -> manifest -> edges ->
 * blob. What was accessed after it was planned stays.
 *
 *   planned -> running -> done | failed | cancelled        planned -> cancelled
 */
export interface Pruning {
  /** Changes nothing. Rejects with InvalidPattern, or with Failure UNAVAILABLE when a pattern takes too long. */
  plan(rule: PruneRule, protection: PruneProtection, cause: PruneJob['cause']): Promise<PruneJob>;
  find(id: string): Promise<PruneJob | undefined>;
  /** The latest first; `before` is the id of an earlier page's last. */
  list(limit: number, before?: string): Promise<readonly PruneJob[]>;
  /** In the order in which they go; `next` is absent on the last page. */
  items(id: string, limit: number, after?: string): Promise<{ items: readonly PruneItem[]; next?: string }>;
  /** The oldest running job. */
  running(): Promise<PruneJob | undefined>;
  /** False when the job is in no state that can become this one. */
  turn(id: string, state: Exclude<PruneState, 'planned'>, error?: string): Promise<boolean>;
  /** The next `limit` images of a running job; undefined when none are left or it does not run any more. */
  step(id: string, limit: number, servedWithin: number): Promise<PruneStep | undefined>;
  /** Of these, the blobs that no repository holds. */
  unheld(digests: readonly Digest[]): Promise<readonly Digest[]>;
  /** The bytes of these are gone: their rows go, unless a repository holds them. Counted for the job, if any. */
  dropUnheld(digests: readonly Digest[], id?: string): Promise<void>;
  /** Keeps the stored bytes from every prune, for at least a day or until `letGo` of this name; `size` in bytes. */
  hold(name: string, digest: Digest, size: number): Promise<void>;
  letGo(name: string): Promise<void>;
  /**
   * Lets repositories forget blobs that none of their manifests refers to and that nobody asked for within `ms`, at most
   * `limit`; gives blobs that no repository holds, also those that an interrupted job left.
   */
  strays(ms: number, limit: number): Promise<readonly Digest[]>;
  /** Removes jobs that ended, or were planned and never carried out, more than `ms` ago; how many. */
  expire(ms: number): Promise<number>;
}
