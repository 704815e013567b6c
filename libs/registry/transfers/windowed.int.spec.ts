import { randomBytes } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Deferred } from '#async';
import { digestOf, hasherFor } from '#oci';
import { type S3Service, startS3 } from '../../../test/support/services/index.js';
import { DOWNLOAD_DEFAULTS } from './download-options.js';
import { largeBlob, MiB, SPOOL, spooledStore } from './large-blobs.contract.js';
import { Transfer } from './transfer.js';

const SIZE = 200 * MiB;

jest.setTimeout(120_000);

describe('a blob larger than the spool, on its way to S3', () => {
  let s3: S3Service;
  let spooled: Awaited<ReturnType<typeof spooledStore>>;
  beforeAll(async () => {
    s3 = await startS3();
  }, 300_000);
  afterAll(() => s3?.stop());
  beforeEach(async () => {
    spooled = await spooledStore(s3, 'windowed');
  });
  afterEach(() => spooled.close());

  async function onDisk(): Promise<number> {
    const { spoolPath } = spooled;
    const names = await readdir(spoolPath).catch(() => []);
    // A ring's holes are not there; what it takes of the disk is what counts.
    const sizes = await Promise.all(names.map((name) => stat(join(spoolPath, name)).then(({ size }) => size)));
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  it('goes through in a window, to readers at its front, behind it and from the start alike', async () => {
    const { store, spoolPath } = spooled;
    const beyond = new Deferred();
    const { digest, open } = largeBlob(SIZE, (at) => {
      if (at === 150 * MiB) beyond.resolve();
    });
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
    const watching = setInterval(() => void onDisk().then((size) => (most = Math.max(most, size))), 20);
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
