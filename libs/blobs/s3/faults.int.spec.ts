import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { sleep } from '#async';
import { digestOf } from '#oci';
import { freePort, type S3Service, startS3 } from '../../../test/support/services/index.js';
import { makeCertificates } from '../../../test/support/upstream/certificates.js';
import { createS3BlobStore, type S3BlobStoreOptions } from '../adapters.js';
import type { BlobStore } from '../port.js';
import { put, readBack, StuckSink, sample, writeAll } from '../samples.contract.js';
import { S3Connection } from './connection.js';
import { type FaultProxy, startFaultProxy } from './fault-proxy.contract.js';

jest.setTimeout(120_000);
const MiB = 1024 * 1024;
const unavailable = { name: 'Failure', reason: 'UNAVAILABLE', origin: 'store' };

describe('S3 that fails', () => {
  let s3: S3Service;
  let proxy: FaultProxy;
  let spoolPath: string;
  let stores: BlobStore[];
  const settings = () => {
    const { region, accessKey, secretKey } = s3;
    return { region, accessKey, secretKey, bucket: 'faults', prefix: '', pathStyle: true, spoolPath };
  };
  const open = (options: Partial<S3BlobStoreOptions> = {}) => {
    const store = createS3BlobStore({ ...settings(), endpoint: proxy.endpoint, ...options });
    stores.push(store);
    return store;
  };
  /** The given faults, one after the other, for the requests that match. */
  const inTurn = (pattern: RegExp, ...faults: Parameters<typeof Array.of<ReturnType<FaultProxy['fault']>>>) => {
    proxy.fault = (request) => (pattern.test(request) ? faults.shift() : undefined);
  };

  beforeAll(async () => {
    s3 = await startS3();
  }, 300_000);
  afterAll(() => s3?.stop());
  beforeEach(async () => {
    stores = [];
    spoolPath = await mkdtemp(path.join(tmpdir(), 'blobs-faults-'));
    proxy = await startFaultProxy(s3.endpoint);
  });
  afterEach(async () => {
    proxy.fault = () => undefined;
    for (const store of stores) await store.close();
    proxy.close();
    await rm(spoolPath, { recursive: true, force: true });
  });

  it('goes on where a body broke off, without a byte twice or missing', async () => {
    const store = open();
    const { bytes, digest } = sample(5 * MiB, 1);
    await put(store, { bytes, digest });
    inTurn(/^GET .*blobs\/sha256/, { cutAfter: MiB + 7 }, { cutAfter: 1 }, { status: 503 }, { cutAfter: 2 * MiB });
    const read = await readBack(store, digest, { offset: 10, length: bytes.length - 20 });
    expect(read.equals(bytes.subarray(10, -10))).toBe(true);
    expect(proxy.requests.filter((r) => r.startsWith('GET') && r.includes(digest.slice(7)))).toHaveLength(5);
  });

  it('gives up on a body that breaks off without a byte again and again', async () => {
    const store = open();
    const { bytes, digest } = sample(MiB, 2);
    await put(store, { bytes, digest });
    proxy.fault = (request) => (/^GET .*blobs\/sha256/.test(request) ? { cutAfter: 0 } : undefined);
    const chunks: Buffer[] = [];
    const reading = store.read(digest, { offset: 0, length: bytes.length }, { write: (c) => void chunks.push(c) });
    await expect(reading).rejects.toMatchObject(unavailable);
    expect(chunks).toEqual([]);
  });

  it('sends again what S3 refused or lost, quietly', async () => {
    const warn = jest.spyOn(console, 'warn').mockImplementation();
    const store = open();
    await store.ping();
    const big = sample(17 * MiB, 3);
    const faults: Record<string, ReturnType<FaultProxy['fault']>[]> = {
      'POST uploads': [{ status: 503 }],
      'PUT partNumber=1': [{ status: 500 }, 'lost'],
      'PUT partNumber=3': [{ status: 429 }],
      'POST uploadId': ['lost'],
      'PUT blobs': [{ status: 503 }, 'lost'],
    };
    proxy.fault = (request) => {
      const kind = Object.keys(faults).find((k) => k.split(' ').every((word) => request.includes(word)));
      return kind === undefined ? undefined : faults[kind]!.shift();
    };
    await put(store, big);
    await put(store, sample(1000, 4));
    expect(Object.values(faults).flat()).toEqual([]);
    expect(digestOf(await readBack(store, big.digest, { offset: 0, length: big.bytes.length }))).toBe(big.digest);
    expect(warn).not.toHaveBeenCalled();
    warn.mockRestore();
  });

  it('does not try again what S3 will never take', async () => {
    const store = open({ secretKey: 'wrong' });
    await expect(store.ping()).rejects.toMatchObject({ ...unavailable, cause: { code: 'SignatureDoesNotMatch' } });
    await expect(store.stat(sample(1).digest)).rejects.toMatchObject(unavailable);
    expect(proxy.requests).toHaveLength(2);
  });

  it('bounds the wait for a server that says nothing, and ends it at the signal', async () => {
    const connection = new S3Connection({ ...settings(), endpoint: proxy.endpoint });
    await connection.ping();
    proxy.fault = () => 'silent';
    const ask = (bounds: { timeoutMs: number; idleMs: number; signal?: AbortSignal }) =>
      connection.call((client) => client.statObject('faults', 'x'), { tries: 1, ...bounds });
    await expect(ask({ timeoutMs: 60_000, idleMs: 50 })).rejects.toThrow('fell silent');
    await expect(ask({ timeoutMs: 50, idleMs: 60_000 })).rejects.toThrow('in time');
    const abort = new AbortController();
    const asking = ask({ timeoutMs: 60_000, idleMs: 60_000, signal: abort.signal });
    abort.abort(new Error('the client went away'));
    await expect(asking).rejects.toThrow('the client went away');
    connection.close();
  });

  it('refuses to commit an ingest that was abandoned under it', async () => {
    const { bytes, digest } = sample(17 * MiB, 5);
    const fenced = await open().ingest(digest, { size: bytes.length });
    await writeAll(fenced, bytes.subarray(0, 16 * MiB));
    while (proxy.requests.filter((r) => r.includes('partNumber')).length < 2) await sleep(10);
    const store = open();
    await store.abandon(digest);
    await writeAll(fenced, bytes.subarray(16 * MiB), 16 * MiB);
    await expect(fenced.commit()).rejects.toMatchObject(unavailable);
    expect(await store.stat(digest)).toBeUndefined();
    await fenced.release();
  });

  it('is up when S3 is not, and works as soon as S3 does', async () => {
    const endpoint = `http://127.0.0.1:${await freePort()}`;
    await expect(open({ endpoint }).ping()).rejects.toMatchObject(unavailable);

    const store = open({ endpoint: s3.endpoint, bucket: 'later' });
    const { bytes, digest } = sample(20 * MiB, 6);
    await s3.kill();
    await expect(store.ping()).rejects.toMatchObject(unavailable);
    const ingest = await store.ingest(digest, { size: bytes.length });
    await writeAll(ingest, bytes);
    const committed = ingest.commit();
    await s3.restart();
    expect(await committed).toBe(bytes.length);
    await ingest.release();
    await store.ping();
  });

  it('restarts in the middle of an ingest and of a read', async () => {
    const store = open({ endpoint: s3.endpoint });
    const { bytes, digest } = sample(40 * MiB, 7);
    const ingest = await store.ingest(digest, { size: bytes.length });
    await writeAll(ingest, bytes.subarray(0, 17 * MiB));
    await s3.kill();
    await writeAll(ingest, bytes.subarray(17 * MiB, 30 * MiB), 17 * MiB);
    await s3.restart();
    await writeAll(ingest, bytes.subarray(30 * MiB), 30 * MiB);
    expect(await ingest.commit()).toBe(bytes.length);
    await ingest.release();

    const sink = new StuckSink();
    const reading = store.read(digest, { offset: 0, length: bytes.length }, sink);
    await sink.first.promise;
    await s3.kill();
    await s3.restart();
    sink.go.resolve();
    await reading;
    expect(digestOf(Buffer.concat(sink.chunks))).toBe(digest);
    expect(await readdir(spoolPath)).toEqual([]);
  });

  it('has its bucket made by several processes at once', async () => {
    const bucket = 'raced';
    const blobs = Array.from({ length: 8 }, (_, i) => sample(100, 10 + i));
    await Promise.all(blobs.map((blob) => put(open({ bucket }), blob)));
    for (const { digest } of blobs) expect(await stores[0]!.stat(digest)).toEqual({ size: 100 });
  });

  it('is trusted by the CA that was given, and by no other', async () => {
    const { ca, cert, key } = makeCertificates();
    const file = path.join(spoolPath, 'ca.pem');
    await writeFile(file, ca);
    const tls = await startFaultProxy(s3.endpoint, { cert, key });
    await expect(open({ endpoint: tls.endpoint }).ping()).rejects.toMatchObject(unavailable);
    const store = open({ endpoint: tls.endpoint, ca: file });
    const { bytes, digest } = sample(9 * MiB, 20);
    await put(store, { bytes, digest });
    await put(store, sample(10, 21));
    expect((await readBack(store, digest, { offset: MiB, length: MiB })).equals(bytes.subarray(MiB, 2 * MiB))).toBe(
      true,
    );
    tls.close();
  });
});
