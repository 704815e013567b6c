import { LRUCache } from 'lru-cache';
import type { Bus } from '#bus';
import type { Digest, Repository } from '#oci';

/** Clients ask for the manifest right after its HEAD. Milliseconds. */
const KNOWN = { max: 10_000, ttl: 30_000 };

/**
 * Tags that were lately resolved by HEAD, of manifests that are not here: who brings such a manifest by its digest, as most
 * clients ask for it, can record what names it. Losing one costs a HEAD.
 */
export class ResolvedTags {
  private readonly digests = new LRUCache<string, Digest>(KNOWN);
  /** By manifest. Whether one still names it is in `digests`. */
  private readonly tags = new LRUCache<string, Set<string>>(KNOWN);
  private readonly unsubscribe: (() => void)[];

  constructor(bus: Bus) {
    this.unsubscribe = [
      bus.onSignal('tag.resolved', ({ repository, tag, digest }) => this.add(repository, tag, digest)),
      // Whatever it names now, that is younger.
      bus.onSignal('tag.moved', ({ repository, tag }) => void this.digests.delete(keyOf(repository, tag))),
    ];
  }

  /** The tags of the repository that name `digest`. */
  of(repository: Repository, digest: Digest): string[] {
    const tags = this.tags.get(keyOf(repository, digest)) ?? [];
    return [...tags].filter((tag) => this.digests.get(keyOf(repository, tag)) === digest);
  }

  close(): void {
    for (const off of this.unsubscribe) off();
  }

  private add(repository: Repository, tag: string, digest: Digest): void {
    this.digests.set(keyOf(repository, tag), digest);
    const key = keyOf(repository, digest);
    this.tags.set(key, (this.tags.get(key) ?? new Set()).add(tag));
  }
}

// '@' stands in no host, path, tag or digest.
function keyOf({ upstream, path }: Repository, reference: string): string {
  return `${upstream}/${path}@${reference}`;
}
