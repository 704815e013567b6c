import type { BlobStore, StoredBlob } from '#blobs';
import type { Catalog } from '#catalog';
import type { Digest } from '#oci';

/** What catalog and store say about one digest; at least one of them knows it. */
export interface Pair {
  readonly digest: Digest;
  /** Bytes, as the catalog has it. */
  readonly known?: number;
  readonly stored?: StoredBlob;
}

type Row = { readonly digest: Digest; readonly size: number };

const PAGE = 1000;

/**
 * Walks catalog and store side by side, both in the order of digests, in memory that does not grow. Either may change
 * meanwhile, so what differs has to be looked at again by who takes it for a fault.
 */
export async function* compare(catalog: Catalog, blobs: BlobStore): AsyncGenerator<Pair> {
  const stored = blobs.list()[Symbol.asyncIterator]();
  try {
    let next = await stored.next();
    for (const algorithm of ['sha256', 'sha512'] as const) {
      const rows = rowsOf(catalog, algorithm);
      let row = await rows.next();
      while (!row.done || isOf(next, algorithm)) {
        const here = isOf(next, algorithm) ? (next.value as StoredBlob) : undefined;
        const known = row.done ? undefined : row.value;
        const order = !here ? -1 : !known ? 1 : known.digest < here.digest ? -1 : known.digest > here.digest ? 1 : 0;
        const digest = order <= 0 ? known!.digest : here!.digest;
        yield { digest, ...(order <= 0 ? { known: known!.size } : {}), ...(order >= 0 ? { stored: here! } : {}) };
        if (order <= 0) row = await rows.next();
        if (order >= 0) next = await stored.next();
      }
    }
  } finally {
    await stored.return?.();
  }
}

function isOf(next: IteratorResult<StoredBlob>, algorithm: string): boolean {
  return !next.done && next.value.digest.startsWith(algorithm);
}

/** The catalog sorts by the hash alone: the few of the other algorithm are passed over. */
async function* rowsOf({ holdings }: Catalog, algorithm: string): AsyncGenerator<Row, undefined> {
  for (let after: Digest | undefined; ; ) {
    const page = await holdings.blobs(after, PAGE);
    for (const row of page) if (row.digest.startsWith(algorithm)) yield row;
    if (page.length < PAGE) return undefined;
    after = page.at(-1)!.digest;
  }
}
