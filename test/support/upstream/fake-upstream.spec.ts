import { createHash } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { Agent, request } from 'undici';
import { type FakeUpstream, type FakeUpstreamOptions, MEDIA_TYPES, startFakeUpstream } from './index.js';

let fake: FakeUpstream;
const agent = new Agent();
afterEach(() => fake.stop());
afterAll(() => agent.destroy());

async function start(options?: FakeUpstreamOptions) {
  fake = await startFakeUpstream(options);
}
async function get(path: string, headers: Record<string, string> = {}, method: 'GET' | 'HEAD' = 'GET') {
  const answer = await request(new URL(path, fake.url), { headers, method, dispatcher: agent });
  return { status: answer.statusCode, headers: answer.headers, bytes: Buffer.from(await answer.body.arrayBuffer()) };
}
const sha256 = (bytes: Buffer) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

it('serves a multi-platform image whose layers unpack to their diff_ids', async () => {
  await start();
  fake.addImage({ repository: 'a/b', tag: 'v1', platforms: ['linux/amd64', 'linux/arm64/v8'], layers: [10, 70_000] });
  const index = await get('/v2/a/b/manifests/v1');
  expect(index.headers['content-type']).toBe(MEDIA_TYPES.oci.index);
  expect(index.headers['docker-content-digest']).toBe(sha256(index.bytes));
  for (const child of JSON.parse(index.bytes.toString()).manifests) {
    const image = await get(`/v2/a/b/manifests/${child.digest}`);
    expect(sha256(image.bytes)).toBe(child.digest);
    const manifest = JSON.parse(image.bytes.toString());
    const config = JSON.parse((await get(`/v2/a/b/blobs/${manifest.config.digest}`)).bytes.toString());
    expect(config.architecture).toBe(child.platform.architecture);
    for (const [i, layer] of manifest.layers.entries()) {
      const { bytes } = await get(`/v2/a/b/blobs/${layer.digest}`);
      expect([sha256(bytes), bytes.length]).toEqual([layer.digest, layer.size]);
      expect(sha256(gunzipSync(bytes))).toBe(config.rootfs.diff_ids[i]);
    }
  }
});

it('generates large blobs that are the same from every offset', async () => {
  await start();
  const { digest, size } = fake.addBlob('a/b', { size: 3 * (1 << 20) + 5, seed: 7 });
  const whole = await get(`/v2/a/b/blobs/${digest}`);
  expect([sha256(whole.bytes), whole.bytes.length]).toEqual([digest, size]);
  for (const [from, to] of [
    [0, 0],
    [3, 9],
    [1048570, 1048590],
    [size - 1, size - 1],
  ] as const) {
    const part = await get(`/v2/a/b/blobs/${digest}`, { range: `bytes=${from}-${to}` });
    expect(part.status).toBe(206);
    expect(part.headers['content-range']).toBe(`bytes ${from}-${to}/${size}`);
    expect(part.bytes.equals(whole.bytes.subarray(from, to + 1))).toBe(true);
  }
  expect((await get(`/v2/a/b/blobs/${digest}`, { range: `bytes=${size}-` })).status).toBe(416);
});

it('keeps repositories apart, and hides types that Accept leaves out', async () => {
  await start();
  const { root } = fake.addImage({ repository: 'a/b' });
  const { digest } = fake.addBlob('c', Buffer.from('c'));
  expect((await get(`/v2/a/b/blobs/${digest}`)).status).toBe(404);
  expect((await get('/v2/a/b/manifests/latest', { accept: MEDIA_TYPES.docker.manifest })).status).toBe(404);
  expect((await get('/v2/a/b/manifests/latest', { accept: `x/y, ${root.mediaType}` })).status).toBe(200);
});

it('wants a token with the right scope', async () => {
  await start({ auth: { scheme: 'bearer', user: 'u', password: 'p' } });
  fake.addImage({ repository: 'a/b' });
  const refused = await get('/v2/a/b/manifests/latest');
  expect(refused.status).toBe(401);
  expect(refused.headers['www-authenticate']).toBe(
    `Bearer realm="${fake.url}/token",service="fake-registry",scope="repository:a/b:pull"`,
  );
  const tokenFor = async (repository: string) => {
    const basic = { authorization: `Basic ${Buffer.from('u:p').toString('base64')}` };
    const { bytes } = await get(`/token?service=fake-registry&scope=repository:${repository}:pull`, basic);
    return JSON.parse(bytes.toString()).token as string;
  };
  expect((await get('/token?service=fake-registry')).status).toBe(401);
  const bearer = async (repository: string) => ({ authorization: `Bearer ${await tokenFor(repository)}` });
  expect((await get('/v2/a/b/manifests/latest', await bearer('c'))).status).toBe(401);
  expect((await get('/v2/a/b/manifests/latest', await bearer('a/b'))).status).toBe(200);
});

it('counts faults and requests', async () => {
  await start();
  const { digest } = fake.addBlob('a', Buffer.from('0123456789'));
  const path = `/v2/a/blobs/${digest}`;
  fake.faults.add({ path: /blobs/, times: 1, truncate: 4 });
  await expect(get(path)).rejects.toThrow();
  fake.faults.add({ path: /blobs/, times: 1, flip: 2 });
  expect((await get(path)).bytes.toString()).not.toBe('0123456789');
  fake.faults.add({ path: /blobs/, times: 1, status: 429, headers: { 'retry-after': '7' } });
  expect((await get(path)).headers['retry-after']).toBe('7');
  expect((await get(path)).bytes.toString()).toBe('0123456789');
  await fake.requests.until({ count: 4, done: true });
  expect(fake.requests.gets(/blobs/)).toBe(4);
  expect([...fake.requests].map((r) => [r.status, r.aborted])).toEqual([
    [200, true],
    [200, false],
    [429, false],
    [200, false],
  ]);
});

it('starts again on the same port', async () => {
  await start();
  const { host } = fake;
  await fake.stop();
  await expect(get('/v2/')).rejects.toThrow();
  await fake.start();
  expect(fake.host).toBe(host);
  expect((await get('/v2/')).status).toBe(200);
});

it('speaks TLS and asks for client certificates', async () => {
  await start({ tls: true, clientCertificates: true });
  const { ca, clientCert: cert, clientKey: key } = fake.certificates!;
  const known = new Agent({ connect: { ca, cert, key } });
  const unknown = new Agent({ connect: { ca } });
  try {
    expect((await request(`${fake.url}/v2/`, { dispatcher: known })).statusCode).toBe(200);
    await expect(request(`${fake.url}/v2/`, { dispatcher: unknown })).rejects.toThrow();
  } finally {
    await Promise.all([known.destroy(), unknown.destroy()]);
  }
});
