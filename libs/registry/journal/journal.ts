import { LRUCache } from 'lru-cache';
import { atMost, PeriodicWriter } from '#async';
import type { Notes } from '#blobs';
import type { Catalog } from '#catalog';
import { type Digest, formatRepository, type Repository } from '#oci';
import type { Log } from '../ports.js';
import { encodeFacts, type Fact, weightOf } from './facts.js';

/** Bytes of facts that wait for the store. What comes on top is lost to the journal until the next snapshot. */
const MOST_WAITING = 64 * 2 ** 20;
/** Bytes of one segment. */
const SEGMENT = 8 * 2 ** 20;

/**
 * Writes what the catalog learns beside the blobs, behind the pull: `<installation>/<time>-<writer>-<n>.gz`. Names sort by
 * time, so that a rebuild reads them in order. Facts that a killed process had not written yet, and those for which there
 * was no room, come with the next snapshot.
 */
export class Journal extends PeriodicWriter {
  private waiting: Fact[] = [];
  /** Bytes of `waiting`. */
  private open = 0;
  private readonly sealed: { readonly name: string; readonly bytes: Buffer; readonly weight: number }[] = [];
  /** Bytes of all facts that are not in the store. */
  private weight = 0;
  private lost = 0;
  private count = 0;
  private readonly writer = Math.random().toString(36).slice(2, 8);
  /** What was noted last of a tag: that it is confirmed every minute is no news. */
  private readonly tags = new LRUCache<string, Digest>(atMost(50_000));

  constructor(
    private readonly notes: Notes,
    /** Of the installation; rejects while the catalog is away. */
    private readonly name: () => Promise<string>,
    private readonly log: Log,
    every: number,
  ) {
    super(every);
  }

  note(fact: Fact): void {
    const weight = weightOf(fact);
    if (this.weight + weight > MOST_WAITING) {
      if (this.lost++ === 0) this.log.warn({}, 'the journal beside the blobs cannot be written and misses facts');
      return;
    }
    this.waiting.push(fact);
    this.weight += weight;
    this.open += weight;
    // Once for every so many bytes: what is being written already is not asked for again.
    if (this.open >= SEGMENT && this.open - weight < SEGMENT) void this.flush();
  }

  noteTag(repository: Repository, name: string, digest: Digest): void {
    const key = `${formatRepository(repository)}:${name}`;
    if (this.tags.get(key) === digest) return;
    this.tags.set(key, digest);
    const now = new Date();
    this.note({ kind: 'tag', repository, digest, tag: { name, checkedAt: now, movedAt: now } });
  }

  noteNoTag(repository: Repository, name: string): void {
    this.tags.delete(`${formatRepository(repository)}:${name}`);
    this.note({ kind: 'untag', repository, name });
  }

  protected async write(): Promise<void> {
    try {
      if (this.waiting.length > 0) await this.seal();
      for (let first = this.sealed[0]; first; first = this.sealed[0]) {
        await this.notes.put(first.name, first.bytes);
        this.sealed.shift();
        this.weight -= first.weight;
      }
      this.lost = 0;
    } catch (error) {
      this.log.debug({ error: String(error), segments: this.sealed.length }, 'cannot write the journal now');
    }
  }

  /** Each fact is compressed once, however long the store is away. */
  private async seal(): Promise<void> {
    const installation = await this.name();
    const { waiting, open } = this;
    [this.waiting, this.open] = [[], 0];
    const name = segmentName(installation, `${this.writer}-${this.count++}`);
    this.sealed.push({ name, bytes: await encodeFacts(waiting), weight: open });
  }
}

export function segmentName(installation: string, rest: string, at = Date.now()): string {
  return `${installation}/${new Date(at).toISOString().replace(/[-:.]/g, '')}-${rest}.gz`;
}

/** The catalog, and what it learns in the journal. Everything else goes straight to it: no request pays for this. */
export function journaled(catalog: Catalog, journal: Journal): Catalog {
  const noted: Pick<Catalog, 'storeManifest' | 'confirmTag' | 'removeTag' | 'storeBlob'> = {
    async storeManifest(repository, manifest, tag) {
      const result = await catalog.storeManifest(repository, manifest, tag);
      const { digest, mediaType, bytes } = manifest;
      journal.note({ kind: 'manifest', repository, manifest: { digest, mediaType, bytes } });
      if (tag) journal.noteTag(repository, tag, digest);
      return result;
    },
    async confirmTag(repository, tag, digest) {
      const confirmed = await catalog.confirmTag(repository, tag, digest);
      if (confirmed) journal.noteTag(repository, tag, digest);
      return confirmed;
    },
    async removeTag(repository, tag) {
      await catalog.removeTag(repository, tag);
      journal.noteNoTag(repository, tag);
    },
    async storeBlob(repository, digest, size) {
      await catalog.storeBlob(repository, digest, size);
      journal.note({ kind: 'blob', repository, digest });
    },
  };
  return Object.assign(Object.create(catalog) as Catalog, noted);
}
