import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Digest } from '#oci';
import { createFsBlobStore } from '../adapters.js';
import { blobStoreContract } from '../blobs.contract.js';
import { ingestContract } from '../ingest.contract.js';
import type { BlobStore } from '../port.js';
import { type BlobStoreHarness, put, StuckSink, sample } from '../samples.contract.js';

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

describe('file system', () => {
  it('finishes an open read of a removed blob', async () => {
    const harness = await startFs();
    const blob = sample(3 * 1024 * 1024);
    await put(harness.store, blob);
    const sink = new StuckSink();
    const reading = harness.store.read(blob.digest, { offset: 0, length: blob.bytes.length }, sink);
    await sink.first.promise;
    await harness.store.remove(blob.digest);
    sink.go.resolve();
    await reading;
    expect(Buffer.concat(sink.chunks).equals(blob.bytes)).toBe(true);
    await harness.close();
  });
});
