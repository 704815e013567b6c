import { createHash } from 'node:crypto';
import type { Digest } from '#oci';
import {
  type BlobSource,
  bytesOf,
  type FakeUpstream,
  type Fault,
  startFakeUpstream,
} from '../../test/support/upstream/index.js';
import { createUpstream } from './adapters.js';
import type { BlobBody, Upstream } from './port.js';

let fake: FakeUpstream;
let upstream: Upstream;
let blob: BlobSource;
let bytes: Buffer;
beforeEach(async () => {
  fake = await startFakeUpstream();
  upstream = createUpstream({ registries: [{ name: fake.host, scheme: 'http' }], timeouts: { body: 100 } });
  blob = fake.addBlob('a/b', { size: 300_000 });
  bytes = bytesOf(blob);
});
afterEach(async () => {
  await upstream.close();
  await fake.stop();
});

const get = (span?: { offset: number; length?: number }, options?: { ifRange?: string; signal?: AbortSignal }) =>
  upstream.getBlob({ upstream: fake.host, path: 'a/b' }, blob.digest as Digest, span, options);
const head = () => upstream.headBlob({ upstream: fake.host, path: 'a/b' }, blob.digest as Digest);
const only = (fault: Fault) => {
  fake.faults.clear();
  fake.faults.add(fault);
};
async function read({ body }: BlobBody): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

it('gets and heads a blob', async () => {
  expect(await head()).toEqual({ size: blob.size, ranges: true });
  const got = await get();
  expect(got).toMatchObject({ offset: 0, size: blob.size, etag: `"${blob.digest}"`, ranges: true });
  expect((await read(got)).equals(bytes)).toBe(true);
});

it.each<[{ offset: number; length?: number }, string]>([
  [{ offset: 0, length: 1 }, 'bytes=0-0'],
  [{ offset: 100, length: 1000 }, 'bytes=100-1099'],
  [{ offset: 299_999 }, 'bytes=299999-'],
  [{ offset: 299_000, length: 5000 }, 'bytes=299000-303999'],
])('gets the part %j', async (span, range) => {
  const got = await get(span);
  expect(got).toMatchObject({ offset: span.offset, size: blob.size, ranges: true });
  expect((await read(got)).equals(bytes.subarray(span.offset, span.offset + (span.length ?? Infinity)))).toBe(true);
  expect([...fake.requests].map((request) => request.range)).toEqual([range]);
});

it('B30: sends no Range where the whole is wanted', async () => {
  await read(await get());
  await read(await get({ offset: 0 }));
  expect([...fake.requests].map((request) => request.range)).toEqual([undefined, undefined]);
});

it('B29: tells that the body starts at 0 where Range is not known', async () => {
  only({ noRange: true });
  const got = await get({ offset: 100 });
  expect(got).toMatchObject({ offset: 0, size: blob.size, ranges: false });
  expect((await read(got)).equals(bytes)).toBe(true);
  expect((await head()).ranges).toBe(false);
});

it('starts at 0 when If-Range does not match, and goes on when it does', async () => {
  const same = await get({ offset: 100 }, { ifRange: `"${blob.digest}"` });
  const changed = await get({ offset: 100 }, { ifRange: '"other"' });
  expect([same.offset, changed.offset]).toEqual([100, 0]);
  same.abort();
  changed.abort();
  await read(await get(undefined, { ifRange: '"other"' }));
  expect([...fake.requests].at(-1)!.headers['if-range']).toBeUndefined();
});

it('has no strong validator where the upstream gives a weak one or none', async () => {
  for (const etag of ['W/"x"', undefined]) {
    only({ headers: { etag } });
    const got = await get();
    expect(got.etag).toBeUndefined();
    got.abort();
  }
});

it('B34: does not know the size where no length is sent', async () => {
  only({ noLength: true });
  const got = await get();
  expect(got.size).toBeUndefined();
  expect((await read(got)).equals(bytes)).toBe(true);
  expect((await head()).size).toBeUndefined();
});

it('B32: decodes what was encoded all the same, from the start', async () => {
  only({ gzip: true });
  for (const span of [undefined, { offset: 100 }]) {
    const got = await get(span);
    expect(got).toMatchObject({ offset: 0, ranges: false });
    expect([got.size, got.etag]).toEqual([undefined, undefined]);
    expect((await read(got)).equals(bytes)).toBe(true);
  }
});

it('B32: knows that aws-chunked is no encoding', async () => {
  only({ headers: { 'content-encoding': 'aws-chunked' } });
  expect((await read(await get())).equals(bytes)).toBe(true);
});

it.each([{ truncate: 0 }, { truncate: 100_000 }, { truncate: 100_000, noLength: true }])(
  'C1, C6: rejects a body that ends early (%j)',
  async (fault) => {
    only(fault);
    await expect(read(await get())).rejects.toMatchObject({
      reason: 'UPSTREAM_ERROR',
      origin: 'upstream',
      retryable: true,
    });
    await expect(read(await get({ offset: 10 }))).rejects.toMatchObject({ reason: 'UPSTREAM_ERROR' });
  },
);

it.each([
  ['another start', { 'content-range': 'bytes 101-299999/300000' }],
  ['more than asked', { 'content-range': 'bytes 100-299999/300000' }],
  ['no range', { 'content-range': undefined }],
  ['nonsense', { 'content-range': 'bytes 5-1/3' }],
])('B35: refuses a 206 with %s', async (_, headers) => {
  only({ headers });
  await expect(get({ offset: 100, length: 50 })).rejects.toMatchObject({ reason: 'UPSTREAM_ERROR' });
});

it('refuses a 206 that nobody asked for', async () => {
  only({ status: 206, headers: { 'content-range': 'bytes 0-3/10' }, body: 'abcd' });
  await expect(get()).rejects.toMatchObject({ reason: 'UPSTREAM_ERROR' });
});

it('B35: stops one chunk after the end of a part that goes on', async () => {
  only({ noLength: true, extra: 5_000_000 });
  const failure = await read(await get({ offset: 100, length: 50 })).catch((error) => error);
  expect(failure).toMatchObject({ reason: 'UPSTREAM_ERROR' });
});

it('B47: rejects a body that idles, and is patient with a reader that does', async () => {
  const open = new Promise(() => {});
  only({ stall: { at: 100_000, open } });
  await expect(read(await get())).rejects.toMatchObject({ reason: 'UPSTREAM_TIMEOUT', status: 504 });
  fake.faults.clear();
  const large = fake.addBlob('a/b', { size: 4_000_000 });
  const got = await upstream.getBlob({ upstream: fake.host, path: 'a/b' }, large.digest as Digest);
  const hash = createHash('sha256');
  let waited = false;
  for await (const chunk of got.body) {
    hash.update(chunk);
    if (!waited) await new Promise((resolve) => setTimeout(resolve, 400));
    waited = true;
  }
  expect(`sha256:${hash.digest('hex')}`).toBe(large.digest);
});

it('closes the connection when the body is aborted, left or cancelled', async () => {
  only({ stall: { at: 1000 } });
  const cancel = new AbortController();
  const aborted = await get();
  aborted.abort();
  aborted.abort();
  await expect(read(aborted)).rejects.toMatchObject({ reason: 'UPSTREAM_ERROR' });
  for await (const _ of (await get()).body) break;
  const cancelled = await get(undefined, { signal: cancel.signal });
  const reading = read(cancelled);
  cancel.abort(new Error('nobody waits'));
  await expect(reading).rejects.toThrow('nobody waits');
  await fake.requests.until({ count: 3, done: true });
  expect([...fake.requests].every((request) => request.aborted)).toBe(true);
});

it('B40: refuses a web page', async () => {
  only({ html: true });
  await expect(get()).rejects.toMatchObject({ reason: 'UPSTREAM_CONTENT', status: 502 });
  await expect(head()).rejects.toMatchObject({ reason: 'UPSTREAM_CONTENT' });
});

it('B27: asks for one byte where HEAD is not known', async () => {
  only({ noHead: true });
  expect(await head()).toEqual({ size: blob.size, ranges: true });
  only({ noHead: true, noRange: true });
  expect(await head()).toEqual({ size: blob.size, ranges: false });
});

it('asks for one byte where the store behind the redirect takes GET only', async () => {
  fake.faults.add({ path: /^\/v2/, redirect: (path) => path.replace('/v2/a/b/blobs', '/storage') });
  fake.faults.add({ path: /^\/storage/, method: 'HEAD', status: 403 });
  expect(await head()).toEqual({ size: blob.size, ranges: true });
});

it.each([
  [404, 'BLOB_UNKNOWN'],
  [410, 'BLOB_UNKNOWN'],
  [401, 'DENIED'],
  [403, 'DENIED'],
  [429, 'RATE_LIMITED'],
  [416, 'UPSTREAM_ERROR'],
  [500, 'UPSTREAM_ERROR'],
])('A94, B41: upstream status %i is %s', async (status, reason) => {
  only({ status });
  await expect(get()).rejects.toMatchObject({ reason, origin: 'upstream' });
  await expect(head()).rejects.toMatchObject({ reason, origin: 'upstream' });
});

it('uses connections again', async () => {
  for (let i = 0; i < 5; i++) {
    await head();
    await read(await get());
  }
  only({ status: 404 });
  for (let i = 0; i < 5; i++) await expect(get()).rejects.toMatchObject({ reason: 'BLOB_UNKNOWN' });
  await head().catch(() => {});
  // A second one, since the first may still be finishing an answer that nobody waits for.
  expect(fake.connections).toBeLessThanOrEqual(2);
});
