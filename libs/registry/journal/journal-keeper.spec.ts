import type { BlobStore, Notes } from '#blobs';
import { InProcessBus } from '#bus/adapters';
import type { Catalog, Duty, HeldManifest } from '#catalog';
import { type Digest, digestOf } from '#oci';
import { decodeFacts, encodeFacts, type Fact } from './facts.js';
import { JournalKeeper } from './journal-keeper.js';
import { wantsSnapshot } from './snapshot.js';

const log = { debug() {}, info() {}, warn: jest.fn(), error() {} };
const repository = { upstream: 'quay.io', path: 'team/app' };
const bytes = Buffer.from('{"schemaVersion":2,"layers":[]}');
const manifest = { digest: digestOf(bytes), mediaType: 'application/vnd.oci.image.manifest.v1+json', bytes };
const layer = digestOf('layer');

class MemoryNotes implements Notes {
  readonly kept = new Map<string, Buffer>();
  async put(name: string, content: Buffer) {
    this.kept.set(name, content);
  }
  async get(name: string) {
    return this.kept.get(name);
  }
  async remove(name: string) {
    this.kept.delete(name);
  }
  async *list() {
    for (const [name, { length }] of [...this.kept]) yield { name, size: length };
  }
  close() {}
}

/** A catalog that was made anew, and what is told to it. */
function start(stored: readonly Digest[]) {
  const told: string[] = [];
  const held: HeldManifest[] = [];
  const duty: Duty = { renew: async () => true, end: async () => {} };
  const catalog = {
    installation: async () => 'new',
    duties: { take: async () => duty },
    storeManifest: async (_: unknown, { digest }: { digest: Digest }) => {
      told.push(`manifest ${digest}`);
      held.push({ place: ['1', '1'], repository, ...manifest });
    },
    storeBlob: async (_: unknown, digest: Digest, size: number) => void told.push(`blob ${digest} ${size}`),
    removeTag: async (_: unknown, tag: string) => void told.push(`untag ${tag}`),
    holdings: {
      manifests: async () => held,
      tags: async () => [],
      grants: async () => [],
      restoreTag: async (_: unknown, digest: Digest, tag: { name: string }) => {
        told.push(`tag ${tag.name} ${digest}`);
        return true;
      },
    },
  } as unknown as Catalog;
  const blobs = {
    stat: async (digest: Digest) => (stored.includes(digest) ? { size: 5 } : undefined),
  } as unknown as BlobStore;
  const notes = new MemoryNotes();
  const keeper = new JournalKeeper({ catalog, blobs, notes, bus: new InProcessBus(), log }, 'here', 3_600_000);
  return { told, notes, keeper };
}

async function ended(keeper: JournalKeeper) {
  while (keeper.last()?.state === 'running') await new Promise((resolve) => setImmediate(resolve));
  return keeper.last();
}

const tag = (digest: Digest): Fact => ({
  kind: 'tag',
  repository,
  digest,
  tag: { name: 'v1', checkedAt: new Date(1), movedAt: new Date(1) },
});

it('reads segments in the order of their times, whoever wrote them, and leaves a snapshot of its own', async () => {
  const { told, notes, keeper } = start([layer]);
  const facts: Fact[] = [
    tag(manifest.digest),
    { kind: 'blob', repository, digest: layer },
    { kind: 'blob', repository, digest: digestOf('lost') },
    { kind: 'manifest', repository, manifest },
  ];
  await notes.put('b-first/20250101T000000000Z-x-0.gz', await encodeFacts(facts));
  await notes.put(
    'a-second/20260101T000000000Z-x-0.gz',
    await encodeFacts([{ kind: 'untag', repository, name: 'v1' }]),
  );
  await keeper.rebuild();
  expect(await ended(keeper)).toMatchObject({
    ...{ state: 'done', segments: 2, segmentsDone: 2, manifests: 1, tags: 1, blobs: 1, missing: 1, problems: [] },
  });
  // Content before what names it.
  expect(told.slice(0, 2).sort()).toEqual([`blob ${layer} 5`, `manifest ${manifest.digest}`].sort());
  expect(told.slice(2)).toEqual([`tag v1 ${manifest.digest}`, 'untag v1']);
  const names = [...notes.kept.keys()];
  expect(names).toEqual([expect.stringMatching(/^new\/\d{8}T\d{9}Z-snapshot-000000\.gz$/)]);
  expect((await decodeFacts(notes.kept.get(names[0]!)!)).map(({ kind }) => kind)).toEqual(['manifest']);
  await keeper.close();
});

it('keeps the journal when something of it cannot be read, and takes no other bytes for a manifest', async () => {
  const { told, notes, keeper } = start([]);
  const forged = { ...manifest, digest: digestOf('another') };
  await notes.put(
    'old/20250101T000000000Z-x-0.gz',
    await encodeFacts([{ kind: 'manifest', repository, manifest: forged }]),
  );
  await notes.put('old/20250201T000000000Z-x-1.gz', Buffer.from('damaged'));
  await keeper.rebuild();
  const job = await ended(keeper);
  expect(job).toMatchObject({ state: 'done', segmentsDone: 2, manifests: 0 });
  expect(job?.problems).toEqual([
    `quay.io/team/app@${forged.digest}: its bytes have another digest`,
    expect.stringMatching(/^old\/20250201T000000000Z-x-1\.gz: /),
  ]);
  expect(told).toEqual([]);
  expect(notes.kept.size).toBe(2);
  await keeper.close();
});

it('says that an empty catalog lies beside the journal of another', async () => {
  const { notes, keeper } = start([]);
  await notes.put('old/20250101T000000000Z-x-0.gz', await encodeFacts([]));
  log.warn.mockClear();
  keeper.follow();
  await new Promise((resolve) => setImmediate(resolve));
  while (log.warn.mock.calls.length === 0) await new Promise((resolve) => setImmediate(resolve));
  expect(log.warn.mock.calls[0]![1]).toContain('ociregistry rebuild');
  await keeper.close();
});

it.each([
  [{ segments: 3, bytes: 100, snapshotBytes: 0 }, true],
  [{ segments: 3, bytes: 100, snapshotBytes: 50 }, false],
  [{ segments: 501, bytes: 100, snapshotBytes: 50 }, true],
  [{ segments: 3, bytes: 20_000_000, snapshotBytes: 15_000_000 }, true],
  [{ segments: 3, bytes: 20_000_000, snapshotBytes: 30_000_000 }, false],
])('a journal of %j is written anew: %s', (state, wanted) => {
  expect(wantsSnapshot({ ...state, foreign: 0 })).toBe(wanted);
});
