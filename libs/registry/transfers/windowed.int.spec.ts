import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Deferred } from '#async';
import type { BlobStore } from '#blobs';
import { createS3BlobStore } from '#blobs/adapters';
import { digestOf, hasherFor } from '#oci';
import type { BlobBody } from '#upstream';
import { type S3Service, startS3 } from '../../../test/support/services/index.js';
import { DOWNLOAD_DEFAULTS } from './download-options.js';
import { Transfer } from './transfer.js';

const MiB = 2 ** 20;
const SIZE = 200 * MiB;
const SPOOL = 64 * MiB;

jest.setTimeout(120_000);

describe('a blob larger than the spool, on its way to S3', () => {
  let s3: S3Service;
  let spoolPath: string;
  let store: BlobStore;
  beforeAll(async () => {
    s3 = await startS3();
  }, 300_000);
  afterAll(() => s3?.stop());
  beforeEach(async () => {
    spoolPath = await mkdtemp(join(tmpdir(), 'ociregistry-window-'));
    const { endpoint, region, accessKey, secretKey } = s3;
    store = createS3BlobStore({
      endpoint,
      region,
      accessKey,
      secretKey,
      bucket: 'blobs',
      prefix: 'windowed',
      pathStyle: true,
      spoolPath,
      spoolBytes: SPOOL,
    });
    await store.ping();
  });
  afterEach(async () => {
    await store.close();
    await rm(spoolPath, { recursive: true, force: true });
  });

  async function spooled(): Promise<number> {
    const names = await readdir(spoolPath).catch(() => []);
    // A ring's holes are not there; what it takes of the disk is what counts.
    const sizes = await Promise.all(names.map((name) => stat(join(spoolPath, name)).then(({ size }) => size)));
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  it('goes through in a window, to readers at its front, behind it and from the start alike', async () => {
    const piece = randomBytes(MiB);
    const bytes = (at: number) => {
      piece.writeUInt32BE(at / MiB);
      return piece;
    };
    const hasher = hasherFor('sha256:');
    for (let at = 0; at < SIZE; at += MiB) hasher.update(bytes(at));
    const digest = hasher.digest();
    const beyond = new Deferred();
    async function* body() {
      for (let at = 0; at < SIZE; at += MiB) {
        if (at === 150 * MiB) beyond.resolve();
        yield Buffer.from(bytes(at));
      }
    }
    const open = async (): Promise<BlobBody> => ({ offset: 0, size: SIZE, ranges: true, body: body(), abort() {} });
    const transfer = new Transfer(
      { upstream: 'u.example', path: 'p' },
      digest,
      store,
      open,
      DOWNLOAD_DEFAULTS,
      {},
      SIZE,
    );
    const run = transfer.run();
    let most = 0;
    const read = async (slow: boolean) => {
      const hash = hasherFor('sha256:');
      let total = 0;
      await transfer.read(
        { offset: 0, length: SIZE },
        {
          write: (chunk) => {
            hash.update(chunk);
            total += chunk.length;
            if (slow && total <= 8 * MiB) return beyond.promise;
          },
        },
      );
      expect(total).toBe(SIZE);
      return hash.digest();
    };
    const watching = setInterval(() => void spooled().then((size) => (most = Math.max(most, size))), 20);
    const readers = [read(false), read(true), beyond.promise.then(() => read(false))];
    // Another one waits until the spool is free again.
    const small = randomBytes(2 * MiB);
    const next = store.ingest(digestOf(small), { size: small.length });
    expect(await Promise.race([next.then(() => 'begun'), beyond.promise.then(() => 'waits')])).toBe('waits');
    expect(await run).toBe(SIZE);
    expect(await Promise.all(readers)).toEqual([digest, digest, digest]);
    clearInterval(watching);
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThanOrEqual(SPOOL);
    await (await next).release();
    expect(await readdir(spoolPath)).toEqual([]);
  });
});
