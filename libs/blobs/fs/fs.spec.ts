import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Digest } from '#oci';
import { createFsBlobStore, createFsNotes } from '../adapters.js';
import { blobStoreContract } from '../blobs.contract.js';
import { blobKey } from '../driver.js';
import { ingestContract } from '../ingest.contract.js';
import { notesContract } from '../notes.contract.js';
import type { BlobStore } from '../port.js';
import { type BlobStoreHarness, put, readBack, StuckSink, sample } from '../samples.contract.js';
import { startWriter } from '../writer.contract.js';

const MiB = 1024 * 1024;

async function startFs(): Promise<BlobStoreHarness & { root: string }> {
  const root = await mkdtemp(path.join(tmpdir(), 'blobs-fs-'));
  const stores: BlobStore[] = [];
  const open = () => {
    const store = createFsBlobStore({ path: root });
    stores.push(store);
    return store;
  };
  return {
    root,
    store: open(),
    another: open,
    unfinished: async (digest: Digest) => {
      const names = await readdir(path.join(root, 'ingest')).catch(() => []);
      return names.filter((name) => name.startsWith(digest.replace(':', '-'))).length;
    },
    leftovers: 1,
    expression: `adapters.createFsBlobStore({ path: ${JSON.stringify(root)} })`,
    close: async () => {
      for (const store of stores) await store.close();
      await rm(root, { recursive: true, force: true });
    },
  };
}

describe('file system: ingest', () => ingestContract(startFs));
describe('file system: store', () => blobStoreContract(startFs));
describe('file system: notes', () => {
  let root: string;
  notesContract(async () => {
    root = await mkdtemp(path.join(tmpdir(), 'notes-'));
    return createFsNotes({ path: root });
  });
  afterAll(() => rm(root, { recursive: true }));
});

describe('file system', () => {
  let harness: Awaited<ReturnType<typeof startFs>>;
  beforeEach(async () => {
    harness = await startFs();
  });
  afterEach(() => harness.close());

  it('finishes an open read of a removed blob', async () => {
    const { bytes, digest } = sample(3 * MiB);
    await put(harness.store, { bytes, digest });
    const sink = new StuckSink();
    const reading = harness.store.read(digest, { offset: 0, length: bytes.length }, sink);
    await sink.first.promise;
    await harness.store.remove(digest);
    sink.go.resolve();
    await reading;
    expect(Buffer.concat(sink.chunks).equals(bytes)).toBe(true);
  });

  it('replaces a damaged blob, also for readers that had it open', async () => {
    const { bytes, digest } = sample(100_000);
    const whole = { offset: 0, length: bytes.length };
    await put(harness.store, { bytes, digest });
    await truncate(path.join(harness.root, blobKey(digest)), 70_000);
    await expect(readBack(harness.store, digest, whole)).rejects.toMatchObject({ reason: 'BLOB_UNKNOWN' });
    await put(harness.store, { bytes, digest });
    expect((await readBack(harness.store, digest, whole)).equals(bytes)).toBe(true);
  });

  it('lists nothing that is not a blob', async () => {
    const blob = sample(10);
    await put(harness.store, blob);
    const file = path.join(harness.root, blobKey(blob.digest));
    await writeFile(`${file}.bak`, 'x');
    await writeFile(path.join(harness.root, 'blobs/sha256/README'), 'x');
    const listed = [];
    for await (const { digest } of harness.store.list()) listed.push(digest);
    expect(listed).toEqual([blob.digest]);
  });

  it('sweeps only its own files', async () => {
    await put(harness.store, sample(10));
    await mkdir(path.join(harness.root, 'ingest'), { recursive: true });
    await writeFile(path.join(harness.root, 'ingest/notes.txt'), 'x');
    expect(await harness.store.sweep(0)).toBe(0);
    expect(await readdir(path.join(harness.root, 'ingest'))).toEqual(['notes.txt']);
  });

  it('says UNAVAILABLE, store, when the directory cannot be written', async () => {
    const file = path.join(harness.root, 'file');
    await writeFile(file, '');
    const store = createFsBlobStore({ path: path.join(file, 'below') });
    const unavailable = { reason: 'UNAVAILABLE', origin: 'store', retryable: true };
    await expect(store.ping()).rejects.toMatchObject(unavailable);
    await expect(put(store, sample(10))).rejects.toMatchObject(unavailable);
    await store.close();
  });

  // A small file system of its own needs Linux's user namespaces.
  const mount = ['unshare', '--user', '--map-root-user', '--mount'];
  const mountable = spawnSync(mount[0]!, [...mount.slice(1), 'mount', '-t', 'tmpfs', 'tmpfs', tmpdir()]).status === 0;
  (mountable ? it : it.skip)('drops an ingest that fills the disk, and goes on', async () => {
    const small = ['sh', '-c', 'mount -t tmpfs -o size=4m tmpfs "$0" && exec "$@"', harness.root];
    const writer = startWriter(harness.expression, 'fill', 20 * MiB, [...mount, ...small]);
    expect(await writer.failed).toEqual({
      reason: 'UNAVAILABLE',
      origin: 'store',
      message: 'the blob store is full',
      code: 'ENOSPC',
      after: 'committed',
    });
  });
});
