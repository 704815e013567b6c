import { crc32 } from 'node:zlib';
import type { BlobStore, Sink, Span } from '#blobs';
import { digestOf, Failure } from '#oci';
import type { Log } from '../ports.js';
import type { PullRequest, PullWaits } from '../pulls/pull-waits.js';
import { BlobReader } from './blob-reader.js';
import { FactCache } from './fact-cache.js';

const bytes = Buffer.alloc(200_000, 'content ');
const digest = digestOf(bytes);
const target = { kind: 'blob', repository: { upstream: 'a.example', path: 'b' }, digest } as const;
const request: PullRequest = { target, lane: 'interactive', cause: 'client' };
const log: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const TIMEOUT = 60_000;

const away = () => new Failure('UNAVAILABLE', 'the blob store is not available', { origin: 'store' });

/** The second half of the blob comes only when the store lets it. */
class Store {
  failure: Failure | undefined;
  reads = 0;

  async read(_: unknown, { offset, length }: Span, sink: Sink): Promise<void> {
    this.reads++;
    const end = offset + length;
    if (offset < bytes.length / 2) await sink.write(bytes.subarray(offset, Math.min(end, bytes.length / 2)));
    if (this.failure) throw this.failure;
    await sink.write(bytes.subarray(Math.max(offset, bytes.length / 2), end));
  }
}

describe('BlobReader', () => {
  beforeEach(() => jest.useFakeTimers({ doNotFake: ['queueMicrotask', 'nextTick'] }));
  afterEach(() => jest.useRealTimers());

  function make() {
    const store = new Store();
    const asked: PullRequest[] = [];
    const forgotten: string[] = [];
    /** How the next pulls end. */
    let pull: () => Promise<unknown> = () => Promise.reject(new Failure('UPSTREAM_ERROR', 'x', { origin: 'upstream' }));
    const waits = {
      timeout: TIMEOUT,
      wait: (given: PullRequest) => {
        asked.push(given);
        return pull();
      },
    } as unknown as PullWaits;
    const catalog = {
      findBlob: async () => (forgotten.length > 0 ? undefined : { size: bytes.length }),
      forgetBlob: async () => void forgotten.push(digest),
    };
    const facts = new FactCache({ manifestBytes: 1, blobBytes: 1, tagTtl: 1, negativeTtl: 1, retryAfter: 1 });
    const ports = { blobs: store as unknown as BlobStore, catalog: catalog as never, waits, log };
    const reader = new BlobReader(ports, facts, request, bytes.length, { state: 'stored' }, 'hit');
    const got: Buffer[] = [];
    const read = (offset = 0) =>
      reader.read({ offset, length: bytes.length - offset }, { write: (chunk) => void got.push(Buffer.from(chunk)) });
    const transfer = {
      read: async ({ offset, length }: Span, sink: Sink) => sink.write(bytes.subarray(offset, offset + length)),
    };
    return {
      store,
      asked,
      forgotten,
      read,
      body: () => Buffer.concat(got),
      pullsBy: (next: typeof pull) => {
        pull = next;
      },
      running: async () => ({ state: 'running', shared: false, transfer }),
    };
  }

  it('checks what a transfer has sent although another one brings the end (WIRE C2)', async () => {
    const { pullsBy, read, body, store, forgotten } = make();
    // The store has lost the blob: its bytes come by transfers of other processes.
    store.failure = new Failure('BLOB_UNKNOWN');
    forgotten.push(digest);
    const wrong = Buffer.from(bytes);
    wrong[bytes.length / 2] = 0;
    const block = (content: Buffer, length: number) => ({
      blockSize: bytes.length,
      blocks: new Map([[0, { length, crc: crc32(content.subarray(0, length)) }]]),
    });
    const sends = (content: Buffer, breaksAt?: number) => ({
      read: async ({ offset, length }: Span, sink: Sink) => {
        await sink.write(content.subarray(offset, Math.min(offset + length, breaksAt ?? bytes.length)));
        if (breaksAt !== undefined) throw new Failure('UNAVAILABLE', 'the relay broke', { retryable: true });
      },
      fingerprint: () => block(content, breaksAt ?? bytes.length - 65_536),
    });
    const ends = [
      async () => ({ state: 'running', shared: false, transfer: sends(bytes, bytes.length / 2) }),
      // It sends wrong bytes, up to what is withheld, and fails afterwards; then the blob is brought by somebody else.
      async () => ({ state: 'running', shared: false, transfer: sends(wrong) }),
      async () => {
        store.failure = undefined;
        return { state: 'finished', shared: true };
      },
    ];
    pullsBy(() => ends.shift()!());
    const reading = expect(read()).rejects.toMatchObject({ reason: 'UPSTREAM_CONTENT' });
    await jest.advanceTimersByTimeAsync(20_000);
    await reading;
    expect(body().length).toBeLessThan(bytes.length);
  });

  it('goes on at its place when the store is back, and asks nobody else for a blip', async () => {
    const { store, asked, read, body } = make();
    store.failure = away();
    const reading = read();
    await jest.advanceTimersByTimeAsync(2_000);
    store.failure = undefined;
    await jest.advanceTimersByTimeAsync(2_000);
    await reading;
    expect(body().equals(bytes)).toBe(true);
    expect(asked).toEqual([]);
  });

  it('WIRE C57: has a blob fetched that a store keeps to itself', async () => {
    const { store, asked, read, body, pullsBy, running } = make();
    store.failure = away();
    pullsBy(running);
    const reading = read();
    await jest.advanceTimersByTimeAsync(6_000);
    await reading;
    expect(body().equals(bytes)).toBe(true);
    expect(asked).toEqual([{ ...request, refetch: true }]);
  });

  it('bounds the wait for a store that stays away: short without a byte, the pull time-out with some', async () => {
    for (const [offset, patience] of [
      [bytes.length / 2, 8_000],
      [0, TIMEOUT],
    ] as const) {
      const { store, read } = make();
      store.failure = away();
      let ended = false;
      const refused = expect(read(offset).finally(() => (ended = true))).rejects.toMatchObject({ origin: 'store' });
      await jest.advanceTimersByTimeAsync(patience - 500);
      expect(ended).toBe(false);
      await jest.advanceTimersByTimeAsync(3_000);
      await refused;
    }
  });

  it('gives a store up that loses the blob again and again', async () => {
    const { store, asked, forgotten, read, pullsBy } = make();
    store.failure = new Failure('BLOB_UNKNOWN', undefined, { origin: 'store' });
    pullsBy(async () => ({ state: 'finished', shared: false }));
    const refused = expect(read()).rejects.toMatchObject({ reason: 'BLOB_UNKNOWN' });
    await jest.advanceTimersByTimeAsync(20_000);
    await refused;
    expect([asked.length, forgotten.length]).toEqual([3, 3]);
  });

  it('gives up when pull after pull fails for our own trouble', async () => {
    const { store, asked, read, pullsBy } = make();
    store.failure = new Failure('BLOB_UNKNOWN', undefined, { origin: 'store' });
    pullsBy(() => Promise.reject(away()));
    const refused = expect(read()).rejects.toMatchObject({ reason: 'UNAVAILABLE', origin: 'store' });
    await jest.advanceTimersByTimeAsync(5_000);
    await refused;
    expect(asked).toHaveLength(3);
  });

  it("takes an upstream's trouble for an answer", async () => {
    const { store, asked, forgotten, read } = make();
    store.failure = new Failure('BLOB_UNKNOWN', undefined, { origin: 'store' });
    const refused = expect(read()).rejects.toMatchObject({ reason: 'UPSTREAM_ERROR' });
    await jest.advanceTimersByTimeAsync(1_000);
    await refused;
    expect([asked.length, forgotten.length]).toEqual([1, 1]);
  });
});
