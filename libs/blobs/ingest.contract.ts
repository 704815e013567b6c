import { digestOf } from '#oci';
import type { Ingest } from './port.js';
import { type BlobStoreHarness, put, readBack, sample, writeAll } from './samples.contract.js';

const MiB = 1024 * 1024;

/** How bytes come in: verification, order, visibility. */
export function ingestContract(start: () => Promise<BlobStoreHarness>): void {
  jest.setTimeout(60_000);
  let harness: BlobStoreHarness;
  const begin = (digest: Parameters<typeof harness.store.ingest>[0], size?: number): Promise<Ingest> =>
    harness.store.ingest(digest, { size });

  beforeEach(async () => {
    harness = await start();
  });
  afterEach(() => harness.close());

  const refused = expect.objectContaining({ name: 'Failure', reason: 'UPSTREAM_CONTENT', origin: 'upstream' });

  it('shows nothing before commit, and all of it after', async () => {
    const { bytes, digest } = sample(300_000);
    const ingest = await begin(digest, bytes.length);
    await writeAll(ingest, bytes);
    expect(await ingest.verify()).toBe(bytes.length);
    expect(await harness.store.stat(digest)).toBeUndefined();
    await expect(readBack(harness.store, digest, { offset: 0, length: 1 })).rejects.toMatchObject({
      reason: 'BLOB_UNKNOWN',
    });
    expect(await ingest.commit()).toBe(bytes.length);
    await ingest.release();
    expect(await harness.store.stat(digest)).toEqual({ size: bytes.length });
    expect((await readBack(harness.another(), digest, { offset: 0, length: bytes.length })).equals(bytes)).toBe(true);
    expect(await harness.unfinished(digest)).toBe(0);
  });

  it.each([
    ['of less than a part', 100_000],
    ['of several parts', 17 * MiB],
  ])('refuses a wrong digest %s and shows nothing', async (_, size) => {
    const { digest } = sample(10);
    const ingest = await begin(digest, size);
    await writeAll(ingest, sample(size).bytes, 0, MiB);
    await expect(ingest.verify()).rejects.toEqual(refused);
    await expect(ingest.commit()).rejects.toEqual(refused);
    await ingest.abort();
    await ingest.release();
    expect(await harness.store.stat(digest)).toBeUndefined();
    expect(await harness.unfinished(digest)).toBe(0);
  });

  it('refuses a body that is too short', async () => {
    const { bytes, digest } = sample(1000);
    const ingest = await begin(digest, 1001);
    await writeAll(ingest, bytes);
    await expect(ingest.commit()).rejects.toEqual(refused);
    await ingest.release();
    expect(await harness.store.stat(digest)).toBeUndefined();
  });

  it('refuses a body that is too long as soon as it is', async () => {
    const { bytes, digest } = sample(1000);
    const ingest = await begin(digest, 999);
    await expect(ingest.write(0, bytes)).rejects.toEqual(refused);
    await expect(ingest.write(998, bytes.subarray(0, 2))).rejects.toEqual(refused);
    await ingest.release();
  });

  it('refuses a body with a gap when the size was not known', async () => {
    const { bytes, digest } = sample(1000);
    const ingest = await begin(digest);
    await ingest.write(0, bytes.subarray(0, 400));
    await ingest.write(500, bytes.subarray(500));
    await expect(ingest.commit()).rejects.toEqual(refused);
    await ingest.release();
  });

  it.each([
    ['zero-length', sample(0)],
    ['one byte', sample(1)],
    ['sha512', sample(70_000, 1, 'sha512')],
    ['exactly one part', sample(8 * MiB)],
    ['one byte over a part', sample(8 * MiB + 1)],
  ])('takes a blob: %s', async (_, { bytes, digest }) => {
    for (const size of [bytes.length, undefined]) {
      const ingest = await begin(digest, size);
      await writeAll(ingest, bytes, 0, 100_000);
      expect(await ingest.commit()).toBe(bytes.length);
      await ingest.release();
      expect(await harness.store.stat(digest)).toEqual({ size: bytes.length });
      expect((await readBack(harness.store, digest, { offset: 0, length: bytes.length })).equals(bytes)).toBe(true);
      await harness.store.remove(digest);
    }
  });

  it('takes parallel chunks that arrive in small pieces, in any order', async () => {
    const { bytes, digest } = sample(33 * MiB + 17);
    const ingest = await begin(digest, bytes.length);
    const chunk = 8 * MiB;
    const starts = [4, 2, 0, 3, 1].map((i) => i * chunk);
    await Promise.all(starts.map((at) => writeAll(ingest, bytes.subarray(at, at + chunk), at, 65_000)));
    expect(ingest.frontier).toBe(bytes.length);
    expect(await ingest.commit()).toBe(bytes.length);
    await ingest.release();
    expect(digestOf(await readBack(harness.store, digest, { offset: 0, length: bytes.length }))).toBe(digest);
    expect(await harness.unfinished(digest)).toBe(0);
  });

  it('never lets later bytes replace written ones', async () => {
    const { bytes, digest } = sample(9 * MiB);
    const ingest = await begin(digest, bytes.length);
    await writeAll(ingest, bytes, 0, MiB);
    await ingest.write(MiB / 2, Buffer.alloc(MiB, 0));
    await ingest.commit();
    await ingest.release();
    expect(digestOf(await readBack(harness.store, digest, { offset: 0, length: bytes.length }))).toBe(digest);
  });

  it('is read while it is written, and after commit and abort until released', async () => {
    const { bytes, digest } = sample(3 * MiB);
    const expectBytes = async (ingest: Ingest, from: number, to: number) => {
      const into = Buffer.alloc(100_000);
      for (let at = from; at < to; ) {
        const count = await ingest.read(at, into.subarray(0, to - at));
        expect(count).toBeGreaterThan(0);
        expect(into.subarray(0, count).equals(bytes.subarray(at, at + count))).toBe(true);
        at += count;
      }
    };
    for (const end of ['commit', 'abort'] as const) {
      const ingest = await begin(digest, bytes.length);
      await writeAll(ingest, bytes.subarray(2 * MiB), 2 * MiB);
      await expectBytes(ingest, 2 * MiB, 3 * MiB);
      expect(ingest.frontier).toBe(0);
      await expect(ingest.read(0, Buffer.alloc(1))).rejects.toThrow('not written');
      for (let at = 0; at < 2 * MiB; at += 64 * 1024) {
        await ingest.write(at, bytes.subarray(at, at + 64 * 1024));
        await expectBytes(ingest, Math.max(0, at - 10), at + 64 * 1024);
      }
      await ingest[end]();
      await expectBytes(ingest, 0, bytes.length);
      await ingest.release();
    }
  });

  it('commits one digest from several ingests at once', async () => {
    const blob = sample(9 * MiB);
    await Promise.all([put(harness.store, blob), put(harness.store, blob), put(harness.another(), blob)]);
    await put(harness.store, blob);
    expect(digestOf(await readBack(harness.store, blob.digest, { offset: 0, length: blob.bytes.length }))).toBe(
      blob.digest,
    );
    expect(await harness.unfinished(blob.digest)).toBe(0);
  });

  it('aborts as often as asked, and leaves a committed blob alone', async () => {
    const { bytes, digest } = sample(9 * MiB);
    const dropped = await begin(digest, bytes.length);
    await writeAll(dropped, bytes.subarray(0, 8.5 * MiB));
    await Promise.all([dropped.abort(), dropped.abort()]);
    await dropped.abort();
    await expect(dropped.write(0, bytes)).rejects.toThrow('abort');
    await expect(dropped.commit()).rejects.toThrow('abort');
    await dropped.release();
    await dropped.release();
    expect(await harness.unfinished(digest)).toBe(0);

    const kept = await begin(digest, bytes.length);
    await writeAll(kept, bytes);
    expect(await Promise.all([kept.commit(), kept.commit()])).toEqual([bytes.length, bytes.length]);
    await kept.abort();
    await kept.release();
    expect(await harness.store.stat(digest)).toEqual({ size: bytes.length });
  });

  it('ends a verification that is aborted, as neither right nor wrong', async () => {
    const { bytes, digest } = sample(3 * MiB);
    const ingest = await begin(digest, bytes.length);
    await ingest.write(64, bytes.subarray(64));
    await ingest.write(0, bytes.subarray(0, 64));
    const verified = expect(ingest.verify()).rejects.toThrow('aborted while verifying');
    await ingest.release();
    await verified;
    await expect(ingest.read(0, Buffer.alloc(1))).rejects.toThrow('after release');
  });

  it('drops living ingests when the store closes', async () => {
    const { bytes, digest } = sample(9 * MiB);
    const other = harness.another();
    await writeAll(await other.ingest(digest, { size: bytes.length }), bytes);
    await other.close();
    expect(await harness.unfinished(digest)).toBe(0);
    await expect(other.ingest(digest)).rejects.toThrow('closed');
  });
}
