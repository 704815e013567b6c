import type { Digest } from '#oci';
import { type BlobSource, type FakeUpstream, startFakeUpstream } from '../../test/support/upstream/index.js';
import { createUpstream } from './adapters.js';
import type { Upstream } from './port.js';

const BASIC = { user: 'u', password: 'p' };
let fake: FakeUpstream;
/** Another origin, configured, so that its loopback address is allowed. */
let store: FakeUpstream;
let upstream: Upstream;
let blob: BlobSource;
beforeEach(async () => {
  fake = await startFakeUpstream({ auth: { scheme: 'bearer', ...BASIC } });
  store = await startFakeUpstream({ content: fake.content });
  upstream = createUpstream({
    registries: [
      { name: fake.host, scheme: 'http', auth: BASIC },
      { name: store.host, scheme: 'http', auth: { user: 'store', password: 'secret' } },
    ],
  });
  blob = fake.addBlob('a/b', Buffer.from('0123456789'));
});
afterEach(async () => {
  await upstream.close();
  await Promise.all([fake.stop(), store.stop()]);
});

const repository = () => ({ upstream: fake.host, path: 'a/b' });
async function get(span?: { offset: number }): Promise<string> {
  const { body } = await upstream.getBlob(repository(), blob.digest as Digest, span);
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}
const toStore = (digest: string) => `${store.url}/storage/${digest}?X-Amz-Signature=secret`;
const withAuthorization = (of: FakeUpstream) => [...of.requests].filter(({ headers }) => headers.authorization).length;

it.each([301, 302, 303, 307, 308])(
  'B19, B22: follows %i to another port of the same host without Authorization',
  async (status) => {
    fake.faults.add({ path: /blobs/, redirect: toStore(blob.digest), status });
    // The token flow comes first, as a real registry redirects only those who may pull.
    fake.faults.add({
      path: /blobs/,
      status: 401,
      times: 1,
      redirect: undefined,
      headers: { 'www-authenticate': `Bearer realm="${fake.url}/token",service="fake-registry"` },
    });
    expect(await get()).toBe('0123456789');
    expect(withAuthorization(fake)).toBe(2);
    expect(store.requests.length).toBe(1);
    expect(withAuthorization(store)).toBe(0);
    expect([...store.requests][0]!.query.get('X-Amz-Signature')).toBe('secret');
  },
);

it('keeps the Range across a redirect', async () => {
  fake.faults.add({ path: /blobs/, redirect: toStore(blob.digest) });
  expect(await get({ offset: 4 })).toBe('456789');
  expect([...store.requests][0]!.range).toBe('bytes=4-');
});

it('B22: follows a relative Location with its Authorization', async () => {
  fake.addImage({ repository: 'a/b' });
  fake.faults.add({ path: /manifests\/old$/, redirect: 'latest' });
  fake.faults.add({ path: /manifests\/older$/, redirect: '/v2/a/b/manifests/old' });
  await upstream.getManifest(repository(), 'latest');
  fake.requests.clear();
  await upstream.getManifest(repository(), 'older');
  expect(withAuthorization(fake)).toBe(3);
});

it('B22: follows five, not six', async () => {
  fake.auth = { scheme: 'anonymous' };
  for (let i = 1; i < 6; i++)
    fake.faults.add({ path: new RegExp(`hop${i}$`), redirect: i === 5 ? `/storage/${blob.digest}` : `/hop${i + 1}` });
  fake.faults.add({ path: /blobs/, redirect: '/hop2' });
  expect(await get()).toBe('0123456789');
  fake.faults.add({ path: /blobs/, redirect: '/hop1' });
  await expect(get()).rejects.toMatchObject({ reason: 'UPSTREAM_ERROR', status: 502 });
  fake.faults.clear();
  fake.requests.clear();
  fake.faults.add({ redirect: (path) => path });
  await expect(get()).rejects.toMatchObject({ reason: 'UPSTREAM_ERROR' });
  expect(fake.requests.length).toBe(6);
});

it.each(['ftp://a/b', 'http://', 'javascript:alert(1)', 'http://u:p@127.0.0.1/'])(
  'does not follow %s',
  async (redirect) => {
    fake.faults.add({ path: /blobs/, redirect });
    await expect(get()).rejects.toMatchObject({ reason: 'UPSTREAM_ERROR', retryable: false });
  },
);

it('takes a redirect without Location as the error it is', async () => {
  fake.faults.add({ path: /blobs/, status: 307 });
  await expect(get()).rejects.toMatchObject({ reason: 'UPSTREAM_ERROR' });
});

it('B20, B14: answers a new challenge where the redirect led, as nobody', async () => {
  fake.auth = { scheme: 'anonymous' };
  const { root } = fake.addImage({ repository: 'a/b' });
  store.auth = { scheme: 'bearer' };
  fake.faults.add({ path: /manifests/, redirect: (path) => store.url + path });
  expect((await upstream.getManifest(repository(), 'latest')).digest).toBe(root.digest);
  expect(
    [...store.requests].map(({ path, headers }) => `${path.split('/')[1]} ${headers.authorization?.split(' ')[0]}`),
  ).toEqual(['v2 undefined', 'token undefined', 'v2 Bearer']);
  store.auth = { scheme: 'basic', user: 'store', password: 'secret' };
  await expect(upstream.getManifest(repository(), 'latest')).rejects.toMatchObject({ reason: 'DENIED' });
  expect([...store.requests].filter(({ headers }) => headers.authorization?.startsWith('Basic'))).toEqual([]);
});

it.each([401, 403])('B21: starts again from the original address once after a %i behind a redirect', async (status) => {
  fake.auth = { scheme: 'anonymous' };
  fake.faults.add({ path: /blobs/, redirect: toStore(blob.digest) });
  store.faults.add({ path: /storage/, status, times: 1 });
  expect(await get()).toBe('0123456789');
  expect([fake.requests.length, store.requests.length]).toEqual([2, 2]);
  store.faults.add({ path: /storage/, status });
  await expect(get()).rejects.toMatchObject({ reason: 'DENIED' });
  expect([fake.requests.length, store.requests.length]).toEqual([4, 4]);
});

it('B23: does not follow from https to http', async () => {
  const secure = await startFakeUpstream({ tls: true });
  const client = createUpstream({
    registries: [
      { name: secure.host, tls: { ca: secure.certificates!.ca } },
      { name: store.host, scheme: 'http' },
    ],
  });
  try {
    secure.faults.add({ redirect: toStore(blob.digest) });
    const from = { upstream: secure.host, path: 'a/b' };
    await expect(client.getBlob(from, blob.digest as Digest)).rejects.toMatchObject({
      reason: 'UPSTREAM_ERROR',
      retryable: false,
    });
    expect(store.requests.length).toBe(0);
  } finally {
    await client.close();
    await secure.stop();
  }
});

it('C29, B24: is stopped at connect by an address that is neither public nor configured', async () => {
  const victim = await startFakeUpstream({ content: fake.content });
  fake.auth = { scheme: 'anonymous' };
  try {
    fake.faults.add({ path: /blobs/, redirect: `${victim.url}/storage/${blob.digest}` });
    const failure = await get().catch((error) => error);
    expect(failure).toMatchObject({ reason: 'UPSTREAM_ERROR', status: 502, retryable: false });
    expect(victim.connections).toBe(0);
  } finally {
    await victim.stop();
  }
});

it('B25, A96: no address, signature or token is in a failure', async () => {
  fake.auth = { scheme: 'anonymous' };
  fake.faults.add({ path: /blobs/, redirect: toStore(blob.digest) });
  await store.stop();
  const failure = await get().catch((error) => error);
  expect(failure.reason).toBe('UPSTREAM_ERROR');
  expect(JSON.stringify(failure.toRecord())).not.toMatch(/127\.0\.0\.1|secret|storage/);
});
