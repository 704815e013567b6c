import { createHash } from 'node:crypto';
import { type Digest, MANIFEST_ACCEPT } from '#oci';
import { type FakeUpstream, MEDIA_TYPES, made, startFakeUpstream } from '../../test/support/upstream/index.js';
import { createUpstream } from './adapters.js';
import type { Upstream } from './port.js';

let fake: FakeUpstream;
let upstream: Upstream;
beforeEach(async () => {
  fake = await startFakeUpstream();
  upstream = createUpstream({
    registries: [{ name: fake.host, scheme: 'http' }],
    hop: () => '1.1 ociregistry-me',
    userAgent: 'agent/1',
  });
});
afterEach(async () => {
  await upstream.close();
  await fake.stop();
});

const repository = () => ({ upstream: fake.host, path: 'a/b' });
const head = (reference: string) => upstream.headManifest(repository(), reference);
const get = (reference: string) => upstream.getManifest(repository(), reference);
const other = `sha256:${'0'.repeat(64)}`;

it.each(['oci', 'docker'] as const)(
  'gets and heads %s indexes and images by tag and digest, verbatim',
  async (mediaTypes) => {
    const { root, images } = fake.addImage({
      repository: 'a/b',
      platforms: ['linux/amd64', 'linux/arm64'],
      mediaTypes,
    });
    for (const [reference, { digest, mediaType, bytes }] of [
      ['latest', root],
      [root.digest, root],
      [images[1]!.digest, images[1]!],
    ] as const) {
      expect(await get(reference)).toEqual({ digest, mediaType, bytes });
      expect(await head(reference)).toEqual({ digest, mediaType, size: bytes.length });
    }
    expect(fake.requests.heads()).toBe(3);
    expect(fake.requests.gets()).toBe(3);
  },
);

it('B32, B33, B44, C35: sends the full Accept list, no encoding, its name and its hop, and nothing else', async () => {
  fake.addImage({ repository: 'a/b' });
  await get('latest');
  expect([...fake.requests][0]!.headers).toEqual({
    host: fake.host,
    connection: 'keep-alive',
    accept: MANIFEST_ACCEPT,
    'accept-encoding': 'identity',
    'user-agent': 'agent/1',
    via: '1.1 ociregistry-me',
  });
});

it('B27: asks by GET where HEAD is not known', async () => {
  const { root } = fake.addImage({ repository: 'a/b' });
  fake.faults.add({ noHead: true });
  const { digest, mediaType, size, bytes } = root;
  expect(await head('latest')).toEqual({ digest, mediaType, size, bytes });
});

it('A50: asks by GET, and is refused, where HEAD tells of a manifest that is too long', async () => {
  const bytes = Buffer.alloc(4 * 1024 * 1024 + 1, ' ');
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  fake.content.addManifest('a/b', { mediaType: MEDIA_TYPES.oci.manifest, digest, bytes }, 'big');
  await expect(head('big')).rejects.toMatchObject({ reason: 'UPSTREAM_CONTENT', status: 502 });
});

it('B28: hashes a GET where HEAD names no digest, or nonsense', async () => {
  const { root } = fake.addImage({ repository: 'a/b' });
  for (const digest of [null, 'sha256:abc']) {
    fake.faults.clear();
    fake.faults.add({ digest });
    expect((await head('latest')).digest).toBe(root.digest);
  }
  expect(fake.requests.gets()).toBe(2);
});

it.each([null, 'text/plain; charset=utf-8', 'application/json', 'application/octet-stream'])(
  'B31: derives the type from the JSON where the upstream says %s',
  async (contentType) => {
    const { root } = fake.addImage({ repository: 'a/b' });
    fake.faults.add({ contentType });
    expect((await get('latest')).mediaType).toBe(MEDIA_TYPES.oci.manifest);
    const { digest, size, bytes } = root;
    expect(await head('latest')).toEqual({ digest, mediaType: MEDIA_TYPES.oci.manifest, size, bytes });
  },
);

it('strips parameters from the type', async () => {
  fake.addImage({ repository: 'a/b' });
  fake.faults.add({ contentType: `${MEDIA_TYPES.oci.manifest}; charset=utf-8` });
  expect((await get('latest')).mediaType).toBe(MEDIA_TYPES.oci.manifest);
  expect((await head('latest')).mediaType).toBe(MEDIA_TYPES.oci.manifest);
});

it('B32: decodes what was encoded all the same', async () => {
  const { root } = fake.addImage({ repository: 'a/b' });
  fake.faults.add({ gzip: true });
  expect((await get(root.digest)).bytes.equals(root.bytes)).toBe(true);
  expect(await head('latest')).toEqual({ digest: root.digest, mediaType: root.mediaType });
});

it('refuses an encoding that is broken or unknown', async () => {
  fake.addImage({ repository: 'a/b' });
  for (const encoding of ['gzip', 'br', 'deflate', 'zstd']) {
    fake.faults.clear();
    fake.faults.add({ headers: { 'content-encoding': encoding } });
    await expect(get('latest')).rejects.toMatchObject({ reason: 'UPSTREAM_CONTENT' });
  }
});

it('reads a body without a length', async () => {
  const { root } = fake.addImage({ repository: 'a/b' });
  fake.faults.add({ noLength: true });
  expect((await get('latest')).digest).toBe(root.digest);
});

it('B39: the computed digest wins over the header', async () => {
  const { root } = fake.addImage({ repository: 'a/b' });
  fake.faults.add({ digest: other });
  expect((await get('latest')).digest).toBe(root.digest);
  expect((await get(root.digest)).digest).toBe(root.digest);
  expect((await head(root.digest)).digest).toBe(root.digest);
});

it('A49: refuses bytes that do not match the digest asked for', async () => {
  const { root } = fake.addImage({ repository: 'a/b' });
  fake.faults.add({ flip: 4 });
  await expect(get(root.digest)).rejects.toMatchObject({ reason: 'UPSTREAM_CONTENT', status: 502, origin: 'upstream' });
});

it('A83: verifies sha512 with sha512, and names a tag as the upstream does', async () => {
  const { mediaType, bytes } = made(MEDIA_TYPES.oci.index, { schemaVersion: 2, manifests: [] });
  const digest = `sha512:${createHash('sha512').update(bytes).digest('hex')}`;
  fake.content.addManifest('a/b', { mediaType, digest, bytes }, 'v1');
  expect((await get('v1')).digest).toBe(digest);
  expect((await get(digest)).digest).toBe(digest);
  expect((await head('v1')).digest).toBe(digest);
  fake.faults.add({ flip: 4 });
  await expect(get(digest)).rejects.toMatchObject({ reason: 'UPSTREAM_CONTENT' });
});

it('B40, C6: refuses web pages and empty bodies, whatever type they claim', async () => {
  const { root } = fake.addImage({ repository: 'a/b' });
  fake.faults.add({ html: true });
  await expect(get('latest')).rejects.toMatchObject({ reason: 'UPSTREAM_CONTENT', status: 502 });
  await expect(head('latest')).rejects.toMatchObject({ reason: 'UPSTREAM_CONTENT' });
  fake.faults.clear();
  fake.faults.add({ empty: true });
  await expect(get('latest')).rejects.toMatchObject({ reason: 'UPSTREAM_CONTENT', status: 502 });
  fake.faults.clear();
  fake.faults.add({ contentType: root.mediaType, status: 200, body: '<html>' });
  await expect(get('latest')).rejects.toMatchObject({ reason: 'UPSTREAM_CONTENT' });
});

it('A50: takes exactly 4 MiB', async () => {
  const bytes = Buffer.from(`{"a":"${'x'.repeat(4 * 1024 * 1024 - 8)}"}`);
  expect(bytes.length).toBe(4_194_304);
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  fake.content.addManifest('a/b', { mediaType: 'application/vnd.big', digest, bytes }, 'big');
  expect((await get('big')).bytes.length).toBe(4_194_304);
});

it.each([
  ['declared', {}],
  ['without a length', { noLength: true }],
  ['in gzip', { gzip: true }],
])('C12: a manifest longer than that is not read to its end (%s)', async (_, fault) => {
  const { digest, size } = fake.addBlob('a/b', { size: 100 * 1024 * 1024 });
  fake.faults.add({ path: /manifests/, redirect: `/v2/a/b/blobs/${digest}` });
  fake.faults.add({ path: /blobs/, ...fault });
  await expect(get('latest')).rejects.toMatchObject({ reason: 'UPSTREAM_CONTENT' });
  await fake.requests.until({ path: /blobs/, done: true });
  expect(fake.requests.bytes(/blobs/)).toBeLessThan(size / 2);
  expect(fake.requests.filter({ path: /blobs/ })[0]!.aborted).toBe(true);
});

it('a body that ends early is an error', async () => {
  fake.addImage({ repository: 'a/b' });
  fake.faults.add({ truncate: 10 });
  await expect(get('latest')).rejects.toMatchObject({ reason: 'UPSTREAM_ERROR', status: 502, retryable: true });
});

it.each([
  [404, 'MANIFEST_UNKNOWN', false],
  [410, 'MANIFEST_UNKNOWN', false],
  [401, 'DENIED', false],
  [403, 'DENIED', false],
  [429, 'RATE_LIMITED', true],
  [500, 'UPSTREAM_ERROR', true],
  [502, 'UPSTREAM_ERROR', true],
  [503, 'UPSTREAM_ERROR', true],
  [408, 'UPSTREAM_TIMEOUT', true],
  [418, 'UPSTREAM_ERROR', false],
  [204, 'UPSTREAM_ERROR', false],
])('A94, B41: upstream status %i is %s', async (status, reason, retryable) => {
  fake.faults.add({ status });
  for (const call of [head, get]) {
    await expect(call('latest')).rejects.toMatchObject({ reason, origin: 'upstream', retryable });
  }
});

it('B17: tells how long to wait, from seconds and from a date', async () => {
  fake.faults.add({ status: 429, headers: { 'retry-after': '17' } });
  await expect(get('latest')).rejects.toMatchObject({ reason: 'RATE_LIMITED', retryAfter: 17 });
  upstream.rest(fake.host, undefined);
  const date = new Date(Date.now() + 3600_000).toUTCString();
  fake.faults.add({ status: 503, headers: { 'retry-after': date } });
  const failure = await get('latest').catch((error) => error);
  expect(failure.reason).toBe('UPSTREAM_ERROR');
  expect(failure.retryAfter).toBeGreaterThan(3500);
  expect(failure.retryAfter).toBeLessThanOrEqual(3600);
});

it('A35: does not even look for an upstream that is not allowed', async () => {
  const elsewhere = { upstream: 'example.com', path: 'a/b' };
  await expect(upstream.getManifest(elsewhere, 'latest')).rejects.toMatchObject({ reason: 'NAME_UNKNOWN' });
  await expect(upstream.headBlob(elsewhere, other as Digest)).rejects.toMatchObject({ reason: 'NAME_UNKNOWN' });
});

it.each(['../../../token', 'a/b', 'a?b', '%2e%2e', 'sha256:abc', ''])(
  'asks nobody for the reference %j',
  async (reference) => {
    await expect(get(reference)).rejects.toMatchObject({ reason: 'MANIFEST_INVALID', status: 400 });
    await expect(head(reference)).rejects.toMatchObject({ reason: 'MANIFEST_INVALID' });
    expect(fake.requests.length).toBe(0);
  },
);
