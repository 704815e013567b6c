import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BlobStore } from '#blobs';
import { createS3BlobStore } from '#blobs/adapters';
import { hasherFor } from '#oci';
import type { BlobBody } from '#upstream';
import { type S3Service, startS3 } from '../../../test/support/services/index.js';
import { type FaultProxy, startFaultProxy } from '../../blobs/s3/fault-proxy.contract.js';
import { DOWNLOAD_DEFAULTS } from './download-options.js';
import { Transfer } from './transfer.js';

const MiB = 2 ** 20;
const SPOOL = 64 * MiB;

jest.setTimeout(120_000);

describe('C59: a store that is full', () => {
  let s3: S3Service;
  let proxy: FaultProxy;
  let spoolPath: string;
  let store: BlobStore;
  beforeAll(async () => {
    s3 = await startS3();
  }, 300_000);
  afterAll(() => s3?.stop());
  beforeEach(async () => {
    spoolPath = await mkdtemp(join(tmpdir(), 'ociregistry-full-'));
    proxy = await startFaultProxy(s3.endpoint);
    const { region, accessKey, secretKey } = s3;
    const where = { endpoint: proxy.endpoint, region, accessKey, secretKey, bucket: 'blobs', prefix: 'full' };
    store = createS3BlobStore({ ...where, pathStyle: true, spoolPath, spoolBytes: SPOOL });
    await store.ping();
    // MinIO takes what is already begun, and refuses bytes.
    proxy.fault = (request) =>
      /^PUT .*blobs\//.test(request) ? { status: 507, code: 'XMinioStorageFull' } : undefined;
  });
  afterEach(async () => {
    await store.close();
    proxy.close();
    await rm(spoolPath, { recursive: true, force: true });
  });

  it.each([
    ['a blob of one part', 5 * MiB],
    ['a blob of several', 40 * MiB],
    ['a blob larger than the spool', 200 * MiB],
  ])('%s goes to its readers, verified, and leaves nothing', async (_, size) => {
    const piece = randomBytes(MiB);
    const bytes = (at: number) => {
      piece.writeUInt32BE(at / MiB);
      return piece;
    };
    const hasher = hasherFor('sha256:');
    for (let at = 0; at < size; at += MiB) hasher.update(bytes(at));
    const digest = hasher.digest();
    async function* body() {
      for (let at = 0; at < size; at += MiB) yield Buffer.from(bytes(at));
    }
    const open = async (): Promise<BlobBody> => ({ offset: 0, size, ranges: true, body: body(), abort() {} });
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
