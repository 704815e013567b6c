import { once } from 'node:events';
import { sleep } from '#async';
import { type Digest, digestOf } from '#oci';
import { type BlobStoreHarness, put, readBack, StuckSink, sample, writeAll } from './samples.contract.js';
import { startWriter } from './writer.contract.js';

const MiB = 1024 * 1024;

/** How bytes go out and away: reading, removing, listing, and what a dead process leaves. */
export function blobStoreContract(start: () => Promise<BlobStoreHarness>): void {
  jest.setTimeout(60_000);
  let harness: BlobStoreHarness;
  beforeEach(async () => {
    harness = await start();
  });
  afterEach(() => harness.close());

  it('reads any span', async () => {
    const { bytes, digest } = sample(3 * MiB + 5);
    await put(harness.store, { bytes, digest });
    const spans = [
      [0, 1],
      [0, bytes.length],
      [1, 2 * MiB],
      [bytes.length - 1, 1],
      [MiB, 0],
      [MiB - 1, 2],
    ] as const;
    for (const [offset, length] of spans) {
      const read = await readBack(harness.store, digest, { offset, length });
      expect(read.equals(bytes.subarray(offset, offset + length))).toBe(true);
    }
  });

  it('gives links to nothing that is not there, and to what is there only such as work', async () => {
    const { bytes, digest } = sample(100);
    expect(await harness.store.link(digest, 300)).toBeUndefined();
    await put(harness.store, { bytes, digest });
    const link = await harness.store.link(digest, 300);
    if (link === undefined) return;
    const part = await fetch(link, { headers: { range: 'bytes=10-19' } });
    expect([part.status, Buffer.from(await part.arrayBuffer())]).toEqual([206, bytes.subarray(10, 20)]);
  });

  it('says that a blob is unknown, also for an empty span and beyond its end', async () => {
    const { bytes, digest } = sample(100);
    const unknown = { name: 'Failure', reason: 'BLOB_UNKNOWN', origin: 'store' };
    expect(await harness.store.stat(digest)).toBeUndefined();
    for (const length of [0, 10]) {
      await expect(readBack(harness.store, digest, { offset: 0, length })).rejects.toMatchObject(unknown);
    }
    await put(harness.store, { bytes, digest });
    // A blob shorter than its descriptor is damaged: to be pulled again.
    await expect(readBack(harness.store, digest, { offset: 90, length: 20 })).rejects.toMatchObject(unknown);
    await expect(readBack(harness.store, digest, { offset: 200, length: 20 })).rejects.toMatchObject(unknown);
  });

  it('waits for a slow sink', async () => {
    const { bytes, digest } = sample(4 * MiB);
    await put(harness.store, { bytes, digest });
    const sink = new StuckSink();
    const reading = harness.store.read(digest, { offset: 0, length: bytes.length }, sink);
    await sink.first.promise;
    // Others are not held up by it, and their reads give time for a second chunk, were it to come.
    for (let i = 0; i < 20; i++) await readBack(harness.store, digest, { offset: 0, length: 2 * MiB });
    expect(sink.chunks).toHaveLength(1);
    sink.go.resolve();
    await reading;
    expect(Buffer.concat(sink.chunks).equals(bytes)).toBe(true);
  });

  it('stops at the signal, also while the sink is stuck', async () => {
    const { bytes, digest } = sample(4 * MiB);
    await put(harness.store, { bytes, digest });
    const abort = new AbortController();
    const sink = new StuckSink();
    const reading = harness.store.read(digest, { offset: 0, length: bytes.length }, sink, abort.signal);
    await sink.first.promise;
    abort.abort(new Error('the client went away'));
    await expect(reading).rejects.toThrow('the client went away');
    await expect(harness.store.read(digest, { offset: 0, length: 1 }, new StuckSink(), abort.signal)).rejects.toThrow(
      'the client went away',
    );
  });

  it("passes the sink's error on as it is", async () => {
    const { bytes, digest } = sample(4 * MiB);
    await put(harness.store, { bytes, digest });
    const broken = new Error('broken pipe');
    for (const write of [
      () => {
        throw broken;
      },
      () => Promise.reject(broken),
    ]) {
      await expect(harness.store.read(digest, { offset: 0, length: bytes.length }, { write })).rejects.toBe(broken);
    }
  });

  it('finishes nothing wrong when a blob is removed while it is read', async () => {
    const { bytes, digest } = sample(12 * MiB);
    await put(harness.store, { bytes, digest });
    const sink = new StuckSink();
    const reading = harness.store.read(digest, { offset: 0, length: bytes.length }, sink);
    await sink.first.promise;
    const removed = harness.store.remove(digest);
    sink.go.resolve();
    await reading.catch((error) => expect(error).toMatchObject({ reason: 'BLOB_UNKNOWN' }));
    const read = Buffer.concat(sink.chunks);
    expect(read.equals(bytes.subarray(0, read.length))).toBe(true);
    await removed;
    await harness.store.remove(digest);
    expect(await harness.store.stat(digest)).toBeUndefined();
    await expect(readBack(harness.store, digest, { offset: 0, length: 1 })).rejects.toMatchObject({
      reason: 'BLOB_UNKNOWN',
    });
  });

  it('lists committed blobs only, in their order', async () => {
    const blobs = [sample(30, 3, 'sha512'), sample(10, 1), sample(20, 2), sample(40, 5), sample(50, 6, 'sha512')];
    for (const blob of blobs) await put(harness.store, blob);
    const unfinished = sample(9 * MiB, 4);
    await writeAll(await harness.store.ingest(unfinished.digest), unfinished.bytes);
    const listed: [string, number][] = [];
    for await (const { digest, size, storedAt } of harness.store.list()) {
      listed.push([digest, size]);
      expect(Math.abs(Date.now() - storedAt.getTime())).toBeLessThan(3_600_000);
    }
    expect(listed).toEqual(blobs.map((blob) => [blob.digest, blob.bytes.length]).sort());
  });

  it('answers a ping', async () => {
    await harness.store.ping();
  });

  describe('a killed process', () => {
    async function killWriter(digest: Digest): Promise<void> {
      const writer = startWriter(harness.expression, digest, 20 * MiB);
      await writer.halfway;
      while ((await harness.unfinished(digest)) < harness.leftovers) await sleep(20);
      writer.child.kill('SIGKILL');
      await once(writer.child, 'exit');
      expect(await harness.store.stat(digest)).toBeUndefined();
      expect(await harness.unfinished(digest)).toBe(harness.leftovers);
    }

    it('leaves only what a sweep removes', async () => {
      const { bytes, digest } = sample(20 * MiB);
      await killWriter(digest);
      const living = await harness.store.ingest(digest, { size: bytes.length });
      await writeAll(living, bytes.subarray(0, 17 * MiB));
      expect(await harness.store.sweep(3_600_000)).toBe(0);
      expect(await harness.store.sweep(0)).toBe(harness.leftovers);
      await writeAll(living, bytes.subarray(17 * MiB), 17 * MiB);
      await living.commit();
      await living.release();
      expect(await harness.unfinished(digest)).toBe(0);
      expect(digestOf(await readBack(harness.store, digest, { offset: 0, length: bytes.length }))).toBe(digest);
    });

    it('has its spool file reclaimed by the next process, and the living keep theirs', async () => {
      const { bytes, digest } = sample(20 * MiB);
      await killWriter(digest);
      const living = await harness.store.ingest(digest, { size: bytes.length });
      await writeAll(living, bytes);
      expect(await harness.store.reclaim()).toBe(1);
      expect(await living.commit()).toBe(bytes.length);
      await living.release();
      expect(await harness.unfinished(digest)).toBe(harness.leftovers - 1);
    });

    it('has its ingest abandoned by whoever takes over, and nobody else', async () => {
      const { bytes, digest } = sample(20 * MiB);
      await killWriter(digest);
      const neighbour = sample(9 * MiB, 7);
      const untouched = await harness.another().ingest(neighbour.digest, { size: neighbour.bytes.length });
      await writeAll(untouched, neighbour.bytes);
      const mine = await harness.store.ingest(digest, { size: bytes.length });
      await writeAll(mine, bytes);
      await harness.store.abandon(digest);
      expect(await mine.commit()).toBe(bytes.length);
      await mine.release();
      expect(await harness.unfinished(digest)).toBe(0);
      expect(await untouched.commit()).toBe(neighbour.bytes.length);
    });
  });

  it('keeps its memory while a big blob goes through', async () => {
    // Its own process: the growth of this one says more about Jest.
    const writer = startWriter(harness.expression, 'measure', 256 * MiB);
    const growth = await writer.growth;
    expect(growth).toBeGreaterThan(0);
    expect(growth).toBeLessThan(64 * MiB);
  });
}
