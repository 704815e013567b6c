import { readdir } from 'node:fs/promises';
import { hasherFor } from '#oci';
import { type S3Service, startS3 } from '../../../test/support/services/index.js';
import { type FaultProxy, startFaultProxy } from '../../blobs/s3/fault-proxy.contract.js';
import { DOWNLOAD_DEFAULTS } from './download-options.js';
import { largeBlob, MiB, spooledStore } from './large-blobs.contract.js';
import { Transfer } from './transfer.js';

jest.setTimeout(120_000);

describe('C59: a store that is full', () => {
  let s3: S3Service;
  let proxy: FaultProxy;
  let full: Awaited<ReturnType<typeof spooledStore>>;
  beforeAll(async () => {
    s3 = await startS3();
  }, 300_000);
  afterAll(() => s3?.stop());
  beforeEach(async () => {
    proxy = await startFaultProxy(s3.endpoint);
    full = await spooledStore(s3, 'full', proxy.endpoint);
    // MinIO takes what is already begun, and refuses bytes.
    proxy.fault = (request) =>
      /^PUT .*blobs\//.test(request) ? { status: 507, code: 'XMinioStorageFull' } : undefined;
  });
  afterEach(async () => {
    await full.close();
    proxy.close();
  });

  it.each([
    ['a blob of one part', 5 * MiB],
    ['a blob of several', 40 * MiB],
    ['a blob larger than the spool', 200 * MiB],
  ])('%s goes to its readers, verified, and leaves nothing', async (_, size) => {
    const { store, spoolPath } = full;
    const { digest, open } = largeBlob(size);
    const told: string[] = [];
    const transfer = new Transfer(
      { upstream: 'u.example', path: 'p' },
      digest,
      store,
      open,
      DOWNLOAD_DEFAULTS,
      { onFull: ({ message }) => told.push(message) },
      size,
    );
    const run = transfer.run();
    const read = async () => {
      const hash = hasherFor('sha256:');
      await transfer.read({ offset: 0, length: size }, { write: (chunk) => void hash.update(chunk) });
      return hash.digest();
    };
    const readers = [read(), read()];
    await expect(run).rejects.toMatchObject({
      reason: 'UNAVAILABLE',
      origin: 'store',
      message: 'the blob store is full',
    });
    expect(await Promise.all(readers)).toEqual([digest, digest]);
    expect(told).toEqual(['the blob store is full']);
    expect([await store.stat(digest), await readdir(spoolPath)]).toEqual([undefined, []]);
    const gone = proxy.requests.filter((line) => line.startsWith('DELETE') && line.includes(digest.slice(7)));
    expect(gone.length).toBe(size > 8 * MiB ? 1 : 0);
  });
});
