import fc from 'fast-check';
import type { BlobStore } from '#blobs';
import type { Catalog } from '#catalog';
import type { Digest } from '#oci';
import { compare, type Pair } from './compare.js';

const digest = fc.tuple(fc.constantFrom('sha256', 'sha512'), fc.nat({ max: 5000 })).map(([algorithm, n]) => {
  const length = algorithm === 'sha256' ? 64 : 128;
  // Hashes of both algorithms begin alike, so that the catalog's order mixes them.
  return `${algorithm}:${n.toString(16).padStart(4, '0').padEnd(length, '0')}` as Digest;
});
const hash = (text: Digest) => text.split(':')[1]!;

function ports(known: ReadonlyMap<Digest, number>, stored: ReadonlyMap<Digest, number>) {
  const rows = [...known].map(([digest, size]) => ({ digest, size }));
  rows.sort((a, b) => Buffer.compare(Buffer.from(hash(a.digest), 'hex'), Buffer.from(hash(b.digest), 'hex')));
  const catalog = {
    holdings: {
      async blobs(after: Digest | undefined, limit: number) {
        const from = after ? rows.findIndex((row) => row.digest === after) + 1 : 0;
        return rows.slice(from, from + limit);
      },
    },
  } as unknown as Catalog;
  const blobs = {
    async *list() {
      for (const [digest, size] of [...stored].sort()) yield { digest, size, storedAt: new Date(0) };
    },
  } as unknown as BlobStore;
  return { catalog, blobs };
}

it('finds every digest that catalog or store knows once, with what each says', async () => {
  const contents = fc.dictionary(digest, fc.nat({ max: 3 }), { maxKeys: 60 });
  await fc.assert(
    fc.asyncProperty(contents, contents, async (a, b) => {
      const known = new Map(Object.entries(a)) as Map<Digest, number>;
      const stored = new Map(Object.entries(b)) as Map<Digest, number>;
      const { catalog, blobs } = ports(known, stored);
      const pairs: Pair[] = [];
      for await (const pair of compare(catalog, blobs)) pairs.push(pair);
      expect(new Set(pairs.map((pair) => pair.digest)).size).toBe(pairs.length);
      expect(new Set(pairs.map((pair) => pair.digest))).toEqual(new Set([...known.keys(), ...stored.keys()]));
      for (const pair of pairs) {
        expect(pair.known).toBe(known.get(pair.digest));
        expect(pair.stored?.size).toBe(stored.get(pair.digest));
      }
    }),
  );
});

it('goes over many pages', async () => {
  const many = new Map(
    Array.from({ length: 2500 }, (_, n) => [`sha256:${n.toString(16).padStart(64, '0')}` as Digest, n]),
  );
  const { catalog, blobs } = ports(many, many);
  let count = 0;
  for await (const { known, stored } of compare(catalog, blobs)) if (known === stored?.size) count++;
  expect(count).toBe(2500);
});
