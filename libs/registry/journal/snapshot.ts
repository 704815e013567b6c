import type { Notes } from '#blobs';
import type { Catalog, Holdings } from '#catalog';
import { encodeFacts, type Fact, weightOf } from './facts.js';
import { segmentName } from './journal.js';

const PAGE = 500;
/** Bytes of one segment before it is compressed. */
const SEGMENT = 8 * 2 ** 20;
/** A journal that is shorter is not worth a snapshot. */
const SMALL = 8 * 2 ** 20;
const MANY = 500;

export interface JournalState {
  readonly segments: number;
  readonly bytes: number;
  readonly snapshotBytes: number;
  /** Segments of other installations: a catalog that was lost. */
  readonly foreign: number;
}

export async function journalState(notes: Notes, installation: string): Promise<JournalState> {
  const state = { segments: 0, bytes: 0, snapshotBytes: 0, foreign: 0 };
  for await (const { name, size } of notes.list()) {
    if (!name.startsWith(`${installation}/`)) state.foreign++;
    else if (isSnapshot(name)) state.snapshotBytes += size;
    else {
      state.segments++;
      state.bytes += size;
    }
  }
  return state;
}

/** Whether replaying the journal has become longer than reading all there is. */
export function wantsSnapshot({ segments, bytes, snapshotBytes }: JournalState): boolean {
  return snapshotBytes === 0 || segments > MANY || bytes > Math.max(SMALL, snapshotBytes);
}

function isSnapshot(name: string): boolean {
  return name.includes('-snapshot-');
}

/**
 * Writes all that the catalog holds as new segments and removes the ones before: what was in them is in the catalog, or was
 * pruned. A crash in between leaves both, which read the same. Resolves to the number of facts.
 */
export async function writeSnapshot(
  { holdings }: Catalog,
  notes: Notes,
  installation: string,
  signal: AbortSignal,
): Promise<number> {
  const before: string[] = [];
  for await (const { name } of notes.list()) if (name.startsWith(`${installation}/`)) before.push(name);
  const startedAt = Date.now();
  let [count, segment, weight] = [0, 0, 0];
  let facts: Fact[] = [];
  const flush = async () => {
    const rest = `snapshot-${String(segment++).padStart(6, '0')}`;
    await notes.put(segmentName(installation, rest, startedAt), await encodeFacts(facts));
    [facts, weight] = [[], 0];
  };
  for await (const fact of everything(holdings)) {
    signal.throwIfAborted();
    facts.push(fact);
    count++;
    weight += weightOf(fact);
    if (weight >= SEGMENT) await flush();
  }
  // An empty one too: it says that there is nothing.
  if (facts.length > 0 || segment === 0) await flush();
  for (const name of before) await notes.remove(name);
  return count;
}

/** Manifests before the tags that name them. */
async function* everything(holdings: Holdings): AsyncGenerator<Fact> {
  for await (const { repository, digest, mediaType, bytes } of paged((after) => holdings.manifests(after, PAGE)))
    yield { kind: 'manifest', repository, manifest: { digest, mediaType, bytes } };
  for await (const { repository, digest, name, checkedAt, movedAt } of paged((after) => holdings.tags(after, PAGE)))
    yield { kind: 'tag', repository, digest, tag: { name, checkedAt, movedAt } };
  for await (const { repository, digest } of paged((after) => holdings.grants(after, PAGE)))
    yield { kind: 'blob', repository, digest };
}

async function* paged<Item extends { readonly place: readonly string[] }>(
  read: (after: readonly string[] | undefined) => Promise<readonly Item[]>,
): AsyncGenerator<Item> {
  for (let after: readonly string[] | undefined; ; ) {
    const page = await read(after);
    yield* page;
    if (page.length < PAGE) return;
    after = page.at(-1)!.place;
  }
}
