import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { createFsBlobStore } from './adapters.js';
import { blobKey } from './driver.js';
import { sample } from './samples.contract.js';

const SIZE = 1_500_000;

/** A blob cut in pieces, some of them sent twice or overlapping, in any order and from several connections at once. */
const plan = fc.record({
  cuts: fc.uniqueArray(fc.integer({ min: 1, max: SIZE - 1 }), { maxLength: 40 }),
  overlap: fc.integer({ min: 0, max: 50_000 }),
  order: fc.array(fc.nat(), { minLength: 41, maxLength: 41 }),
  connections: fc.integer({ min: 1, max: 6 }),
  sized: fc.boolean(),
});

describe('an ingest', () => {
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(path.join(tmpdir(), 'blobs-ingest-'));
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  it('commits the same bytes whatever the order, overlap and concurrency of their spans', async () => {
    const { bytes, digest } = sample(SIZE);
    const store = createFsBlobStore({ path: root });
    await fc.assert(
      fc.asyncProperty(plan, async ({ cuts, overlap, order, connections, sized }) => {
        const starts = [0, ...cuts.sort((a, b) => a - b)];
        const pieces = starts.map((start, i) => ({
          start,
          end: Math.min(SIZE, (starts[i + 1] ?? SIZE) + overlap),
          rank: order[i]!,
        }));
        pieces.sort((a, b) => a.rank - b.rank);
        const ingest = await store.ingest(digest, sized ? { size: SIZE } : {});
        const connection = async () => {
          for (let piece = pieces.pop(); piece; piece = pieces.pop()) {
            // As a socket's buffer, which is used again.
            const chunk = Buffer.from(bytes.subarray(piece.start, piece.end));
            await ingest.write(piece.start, chunk);
            chunk.fill(0);
            const into = Buffer.alloc(piece.end - piece.start);
            const count = await ingest.read(piece.start, into);
            expect(into.subarray(0, count).equals(bytes.subarray(piece.start, piece.start + count))).toBe(true);
          }
        };
        await Promise.all(Array.from({ length: connections }, connection));
        expect(ingest.frontier).toBe(SIZE);
        expect(await ingest.commit()).toBe(SIZE);
        await ingest.release();
        expect((await readFile(path.join(root, blobKey(digest)))).equals(bytes)).toBe(true);
        expect(await readdir(path.join(root, 'ingest'))).toEqual([]);
        await store.remove(digest);
      }),
      { numRuns: 60 },
    );
    await store.close();
  }, 120_000);

  it('refuses any blob with one changed byte', async () => {
    const { bytes, digest } = sample(300_000);
    const store = createFsBlobStore({ path: root });
    await fc.assert(
      fc.asyncProperty(fc.nat(299_999), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
        const changed = Buffer.from(bytes);
        changed[at]! ^= flip;
        const ingest = await store.ingest(digest, { size: bytes.length });
        await ingest.write(100_000, changed.subarray(100_000));
        await ingest.write(0, changed.subarray(0, 100_000));
        await expect(ingest.commit()).rejects.toMatchObject({ reason: 'UPSTREAM_CONTENT' });
        await ingest.release();
        expect(await store.stat(digest)).toBeUndefined();
      }),
      { numRuns: 30 },
    );
    await store.close();
  });
});
