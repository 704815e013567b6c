import { LRUCache } from 'lru-cache';
import type { BlobKnowledge, Catalog } from '#catalog';
import { type Digest, formatRepository, type Repository } from '#oci';

/** Milliseconds; who comes later looks for himself. */
const LIFE = 2_000;
const MOST = 10_000;

/**
 * What the catalog said of an image's blobs when they were queued: one statement for all of them, where each pull would ask for
 * itself. Only that nothing is held is believed. What another pull has brought since then is told by the row, which the
 * claim of the next one gives.
 */
export class Foreknowledge {
  private readonly answers = new LRUCache<string, Promise<BlobKnowledge>>({ max: MOST, ttl: LIFE });

  constructor(private readonly catalog: Pick<Catalog, 'knowBlob'>) {}

  /** Calls of one turn of the event loop share a statement. */
  ask(repository: Repository, digest: Digest): void {
    const answer = this.catalog.knowBlob(repository, digest);
    answer.catch(() => {});
    this.answers.set(keyOf(repository, digest), answer);
  }

  /** To be used once. */
  async take(repository: Repository, digest: Digest): Promise<BlobKnowledge | undefined> {
    const key = keyOf(repository, digest);
    const answer = this.answers.get(key);
    if (answer === undefined) return undefined;
    this.answers.delete(key);
    const known = await answer.catch(() => undefined);
    return known?.held === undefined && known?.stored === undefined ? known : undefined;
  }
}

function keyOf(repository: Repository, digest: Digest): string {
  return `${formatRepository(repository)}@${digest}`;
}
