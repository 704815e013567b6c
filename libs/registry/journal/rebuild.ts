import { LRUCache } from 'lru-cache';
import { forEach } from '#async';
import type { BlobStore, Notes } from '#blobs';
import type { Catalog } from '#catalog';
import { type Digest, Failure, formatRepository, hasherFor, parseManifest } from '#oci';
import { manifestFacts } from '../manifest-facts.js';
import { decodeFacts, type Fact } from './facts.js';

export interface RebuildPorts {
  readonly catalog: Catalog;
  readonly blobs: BlobStore;
  readonly notes: Notes;
}

/** What was read and what the catalog knows by it. Numbers grow while it runs. */
export interface RebuildReport {
  segments: number;
  segmentsDone: number;
  manifests: number;
  tags: number;
  blobs: number;
  /** Blobs that were held and whose bytes are not in the store: fetched when somebody asks for them. */
  missing: number;
  /** Segments and facts that could not be read; at most 100. */
  problems: string[];
}

const WRITES = 32;
const MOST_PROBLEMS = 100;

/**
 * Tells the catalog all that the journal beside the blobs knows, in the order in which it became known. What the catalog
 * has stays; a tag that it knows better stays too. Resolves to the names of the segments that were read.
 */
export async function replay(
  { catalog, blobs, notes }: RebuildPorts,
  report: RebuildReport,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const { name } of notes.list()) names.push(name);
  // By time, whatever the installation is called: a catalog may have been lost more than once.
  const timeOf = (name: string) => name.slice(name.indexOf('/') + 1);
  names.sort((a, b) => (timeOf(a) < timeOf(b) ? -1 : 1));
  report.segments = names.length;
  const sizes = new LRUCache<Digest, { size: number | undefined }>({ max: 100_000 });
  const sizeOf = async (digest: Digest) => {
    const known = sizes.get(digest);
    if (known) return known.size;
    const size = (await blobs.stat(digest))?.size;
    // Counted where it is looked for: a fact may stand in several segments.
    if (size === undefined && !sizes.has(digest)) report.missing++;
    sizes.set(digest, { size });
    return size;
  };
  const problem = (text: string) => {
    if (report.problems.length < MOST_PROBLEMS) report.problems.push(text);
  };

  const content = async (fact: Fact) => {
    signal.throwIfAborted();
    if (fact.kind === 'blob') {
      const size = await sizeOf(fact.digest);
      if (size === undefined) return;
      await catalog.storeBlob(fact.repository, fact.digest, size);
      report.blobs++;
    } else if (fact.kind === 'manifest') {
      const { manifest, repository } = fact;
      try {
        const hasher = hasherFor(manifest.digest);
        hasher.update(manifest.bytes);
        if (hasher.digest() !== manifest.digest) throw new Failure('MANIFEST_INVALID', 'its bytes have another digest');
        const parsed = parseManifest(manifest.bytes, manifest.mediaType);
        await catalog.storeManifest(repository, manifestFacts(manifest, parsed));
        report.manifests++;
      } catch (error) {
        if (!(error instanceof Failure) || error.reason === 'UNAVAILABLE') throw error;
        problem(`${formatRepository(repository)}@${manifest.digest}: ${error.message}`);
      }
    }
  };
  const naming = async (fact: Fact) => {
    if (fact.kind === 'untag') await catalog.removeTag(fact.repository, fact.name);
    if (fact.kind !== 'tag') return;
    if (await catalog.holdings.restoreTag(fact.repository, fact.digest, fact.tag)) report.tags++;
  };

  for (const name of names) {
    signal.throwIfAborted();
    try {
      const segment = await notes.get(name);
      // Another process has put a snapshot in its place.
      if (segment) {
        const facts = await decodeFacts(segment).catch((error: Error) => {
          problem(`${name}: ${error.message}`);
          return [];
        });
        await forEach(facts, WRITES, content);
        for (const fact of facts) await naming(fact);
      }
    } finally {
      report.segmentsDone++;
    }
  }
  return names;
}
