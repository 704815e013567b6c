import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Deferred } from '#async';
import type { BlobStore } from '#blobs';
import { createFsBlobStore } from '#blobs/adapters';
import { type Digest, digestOf, Failure } from '#oci';
import type { BlobBody, Upstream } from '#upstream';
import { DOWNLOAD_DEFAULTS } from './download-options.js';
import { TAIL, Transfer } from './transfer.js';

const repository = { upstream: 'a.example', path: 'b' };
const MiB = 2 ** 20;

describe('Transfer', () => {
  let directory: string;
  let store: BlobStore;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'ociregistry-transfer-'));
    store = createFsBlobStore({ path: directory });
  });
  afterEach(async () => {
    await store.close();
    rmSync(directory, { recursive: true, force: true });
  });

  /** An upstream that sends `bytes` but holds the last `held` of them back until the gate opens. */
  function upstreamOf(bytes: Buffer, held = 0, gate: Promise<void> = Promise.resolve()): Upstream {
    const getBlob = async (): Promise<BlobBody> => {
      async function* body() {
        for (let at = 0; at < bytes.length - held; at += 65_536)
          yield bytes.subarray(at, Math.min(at + 65_536, bytes.length - held));
        await gate;
        if (held) yield bytes.subarray(bytes.length - held);
      }
      return { offset: 0, size: bytes.length, ranges: false, body: body(), abort: () => {} };
    };
    return { getBlob } as unknown as Upstream;
  }

  const start = (digest: Digest, upstream: Upstream) => {
    const transfer = new Transfer(
      repository,
      digest,
      store,
      (span, options) => upstream.getBlob(repository, digest, span, options),
      DOWNLOAD_DEFAULTS,
    );
    const run = transfer.run();
    run.catch(() => {});
    return { transfer, run };
  };

  function collector(onBytes: (total: number) => void = () => {}) {
    const chunks: Buffer[] = [];
    let total = 0;
    return {
      write: (chunk: Buffer) => {
        chunks.push(Buffer.from(chunk));
        total += chunk.length;
        onBytes(total);
      },
      get total() {
        return total;
      },
      get bytes() {
        return Buffer.concat(chunks);
      },
    };
  }

  it('feeds readers from any offset while it runs, and is visible when it has ended', async () => {
    const bytes = Buffer.alloc(3 * MiB, 'abcdefg');
    const digest = digestOf(bytes);
    const gate = new Deferred();
    const { transfer, run } = start(digest, upstreamOf(bytes, 100_000, gate.promise));
    const flowing = new Deferred();
    const whole = collector((total) => total > MiB && flowing.resolve());
    const late = collector();
    const reads = [
      transfer.read({ offset: 0, length: bytes.length }, whole),
      transfer.read({ offset: 1_000_003, length: 500_000 }, late),
    ];
    await flowing.promise;
    expect(await store.stat(digest)).toBeUndefined();
    gate.resolve();
    await Promise.all([...reads, run]);
    expect(whole.bytes.equals(bytes)).toBe(true);
    expect(late.bytes.equals(bytes.subarray(1_000_003, 1_500_003))).toBe(true);
    expect(await store.stat(digest)).toEqual({ size: bytes.length });
  });

  it('withholds the end until the digest is right: a wrong body is never complete and never visible', async () => {
    const bytes = Buffer.alloc(2 * MiB, 'x');
    const digest = digestOf(Buffer.alloc(2 * MiB, 'y'));
    const { transfer, run } = start(digest, upstreamOf(bytes));
    const whole = collector();
    const openEnded = collector();
    const results = await Promise.allSettled([
      run,
      transfer.read({ offset: 0, length: bytes.length }, whole),
      transfer.read({ offset: bytes.length - 10, length: 10 }, openEnded),
    ]);
    expect(results.map((r) => (r.status === 'rejected' ? (r.reason as Failure).reason : r.status))).toEqual(
      Array(3).fill('UPSTREAM_CONTENT'),
    );
    expect(whole.total).toBeLessThanOrEqual(bytes.length - TAIL);
    expect(openEnded.total).toBe(0);
    expect(await store.stat(digest)).toBeUndefined();
  });

  it('gives a bounded range as soon as its bytes are there, and a small blob only when it is verified', async () => {
    const bytes = Buffer.alloc(2 * MiB, 'x');
    const gate = new Deferred();
    const { transfer, run } = start(digestOf(bytes), upstreamOf(bytes, 1, gate.promise));
    const end = collector();
    await transfer.read({ offset: bytes.length - 11, length: 10 }, end, { bounded: true });
    expect(end.total).toBe(10);
    gate.resolve();
    await run;

    const small = Buffer.alloc(1000, 'z');
    const hold = new Deferred();
    const second = start(digestOf(small), upstreamOf(small, 1, hold.promise));
    const sink = collector();
    const read = second.transfer.read({ offset: 0, length: 500 }, sink, { bounded: true });
    const unbounded = second.transfer.read({ offset: 0, length: 1000 }, sink);
    await second.transfer.size();
    hold.resolve();
    await Promise.all([read, unbounded, second.run]);
    expect(sink.total).toBe(1500);
  });

  it('a slow reader holds up neither the transfer nor another reader', async () => {
    const bytes = Buffer.alloc(8 * MiB, 'q');
    const { transfer, run } = start(digestOf(bytes), upstreamOf(bytes));
    const stuck = new Deferred();
    const slow = collector();
    const slowRead = transfer.read(
      { offset: 0, length: bytes.length },
      {
        write: (chunk) => {
          slow.write(chunk);
          return stuck.promise;
        },
      },
    );
    const fast = collector();
    await transfer.read({ offset: 0, length: bytes.length }, fast);
    await run;
    expect(fast.bytes.equals(bytes)).toBe(true);
    expect(slow.total).toBeLessThan(MiB);
    stuck.resolve();
    await slowRead;
    expect(slow.bytes.equals(bytes)).toBe(true);
  });

  it('tells its readers why it was stopped, and leaves nothing', async () => {
    const bytes = Buffer.alloc(2 * MiB, 'x');
    const { transfer, run } = start(digestOf(bytes), upstreamOf(bytes, 10, new Deferred().promise));
    const flowing = new Deferred();
    const read = transfer.read(
      { offset: 0, length: bytes.length },
      collector(() => flowing.resolve()),
    );
    read.catch(() => {});
    await flowing.promise;
    transfer.cancel(new Failure('UNAVAILABLE', 'stopping'));
    await expect(read).rejects.toMatchObject({ reason: 'UNAVAILABLE' });
    await expect(run).rejects.toMatchObject({ reason: 'UNAVAILABLE' });
    expect(await store.sweep(0)).toBe(0);
  });
});
