import { Deferred } from '#async';
import { digestOfBody, get } from '../support/client.js';
import { eventually } from '../support/eventually.js';
import { type Installation, install, stacks } from '../support/servers.js';
import { type FakeUpstream, MEDIA_TYPES, startFakeUpstream } from '../support/upstream/index.js';

jest.setTimeout(240_000);

const MiB = 2 ** 20;
const ACCEPT = { accept: 'application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, */*' };

describe.each(stacks())('pulls on the %s stack', (name) => {
  let upstream: FakeUpstream;
  let system: Installation;
  let base: string;
  let other: string;

  beforeAll(async () => {
    upstream = await startFakeUpstream();
    system = await install(name, [upstream.host]);
    base = system.gateways[0]!.url;
    other = system.gateways.at(-1)!.url;
  });
  afterAll(async () => {
    await system?.stop();
    await upstream?.stop();
  });
  afterEach(() => upstream.faults.clear());

  const path = (repository: string, rest: string) => `/v2/${upstream.host}/${repository}/${rest}`;

  it('A1-A4: answers the version check', async () => {
    const answer = await get(`${base}/v2/`);
    expect([answer.status, answer.body.toString(), answer.headers['docker-distribution-api-version']]).toEqual([
      200,
      '{}',
      'registry/2.0',
    ]);
    expect(answer.headers['content-length']).toBe('2');
  });

  it('serves a multi-platform image byte for byte, by every way of naming its source, through every gateway', async () => {
    const { root, images } = upstream.addImage({
      repository: 'team/app',
      tag: 'v1',
      platforms: ['linux/amd64', 'linux/arm64'],
    });
    const ways: [string, Record<string, string>][] = [
      [`/v2/${upstream.host}/team/app/manifests/v1`, {}],
      [`/v2/team/app/manifests/v1?ns=${upstream.host}`, {}],
      ['/v2/team/app/manifests/v1', { 'x-registry': upstream.host }],
      [`/v2/${upstream.host}/team/app/manifests/v1?ns=${upstream.host}`, {}],
    ];
    upstream.requests.clear();
    for (const gateway of [base, other]) {
      for (const [url, headers] of ways) {
        const answer = await get(gateway + url, { headers: { ...ACCEPT, ...headers } });
        expect(answer.status).toBe(200);
        expect(answer.headers).toMatchObject({
          'content-type': root.mediaType,
          'content-length': String(root.bytes.length),
          'docker-content-digest': root.digest,
          etag: `"${root.digest}"`,
        });
        expect(answer.body.equals(root.bytes)).toBe(true);
      }
    }
    expect(upstream.requests.gets(/manifests\/v1$/)).toBe(1);
    for (const image of images) {
      const manifest = await get(base + path('team/app', `manifests/${image.digest}`));
      expect(digestOfBody(manifest.body)).toBe(image.digest);
      for (const layer of [image.config, ...image.layers]) {
        const { digest, size } = layer;
        const blob = await get(base + path('team/app', `blobs/${digest}`));
        expect([blob.status, digestOfBody(blob.body), blob.headers['content-length']]).toEqual([
          200,
          digest,
          String(size),
        ]);
        const head = await get(other + path('team/app', `blobs/${digest}`), { method: 'HEAD' });
        expect([head.status, head.headers['content-length'], head.body.length]).toEqual([200, String(size), 0]);
      }
    }
  });

  it('A41: a manifest under the wrong type is served as it came, and its parts are fetched ahead all the same', async () => {
    const { root, images } = upstream.addImage({ repository: 'mislabelled', tag: 'v1' });
    upstream.faults.add({ path: /mislabelled\/manifests/, contentType: MEDIA_TYPES.oci.index });
    const answer = await get(base + path('mislabelled', 'manifests/v1'));
    expect([answer.headers['content-type'], answer.body.equals(root.bytes)]).toEqual([MEDIA_TYPES.oci.index, true]);
    await eventually(async () => {
      for (const { digest } of [images[0]!.config, ...images[0]!.layers])
        expect(upstream.requests.count({ path: new RegExp(`mislabelled/blobs/${digest}`) })).toBe(1);
    });
  });

  it('C65: needs no upstream for what is cached, not even after a restart', async () => {
    const { root, images } = upstream.addImage({ repository: 'kept', tag: 'v1' });
    const layers = images[0]!.layers.map(({ digest }) => digest);
    const pullAll = async (gateway: string) => {
      expect((await get(gateway + path('kept', 'manifests/v1'))).headers['docker-content-digest']).toBe(root.digest);
      for (const digest of layers)
        expect(digestOfBody((await get(gateway + path('kept', `blobs/${digest}`))).body)).toBe(digest);
    };
    await pullAll(base);
    await upstream.stop();
    try {
      await pullAll(base);
      await pullAll(other);
      await system.restartAll();
      await pullAll(base);
      await pullAll(other);
    } finally {
      await upstream.start();
    }
  });

  it('C44, C51: fifty simultaneous clients make one upstream GET of each object', async () => {
    const { images } = upstream.addImage({ repository: 'herd', tag: 'v1', layers: [300_000, 3 * MiB] });
    const digests = images[0]!.layers.map(({ digest }) => digest);
    upstream.requests.clear();
    upstream.faults.add({ path: /herd/, delay: 100 });
    const client = async (i: number) => {
      const gateway = i % 2 ? base : other;
      expect((await get(gateway + path('herd', 'manifests/v1'))).status).toBe(200);
      for (const digest of digests)
        expect(digestOfBody((await get(gateway + path('herd', `blobs/${digest}`))).body)).toBe(digest);
    };
    await Promise.all(Array.from({ length: 50 }, (_, i) => client(i)));
    expect(upstream.requests.gets(/herd\/manifests/)).toBe(1);
    for (const digest of digests) expect(upstream.requests.gets(new RegExp(digest))).toBe(1);
  });

  it('A87: first bytes at once: a client reads while the upstream has not sent the rest', async () => {
    const blob = upstream.addBlob('slow', { size: 4 * MiB, seed: 5 });
    const gate = new Deferred();
    upstream.faults.add({ path: /slow/, method: 'GET', stall: { at: 2 * MiB, open: gate.promise } });
    // The gate opens only once the client has bytes: a store-then-serve cache would hang here.
    const answer = await get(base + path('slow', `blobs/${blob.digest}`), {
      onBytes: (total) => total > MiB && gate.resolve(),
    });
    expect(digestOfBody(answer.body)).toBe(blob.digest);
  });

  describe('failures keep their meaning (A94)', () => {
    const errorOf = (answer: { body: Buffer }) => JSON.parse(answer.body.toString()).errors[0].code;

    it('absent: 404 MANIFEST_UNKNOWN and BLOB_UNKNOWN', async () => {
      upstream.addImage({ repository: 'there', tag: 'v1' });
      const manifest = await get(base + path('there', 'manifests/nope'));
      expect([manifest.status, errorOf(manifest)]).toEqual([404, 'MANIFEST_UNKNOWN']);
      const blob = await get(base + path('there', `blobs/sha256:${'0'.repeat(64)}`));
      expect([blob.status, errorOf(blob)]).toEqual([404, 'BLOB_UNKNOWN']);
    });

    it.each([
      ['500', { status: 500 }, 502],
      ['503', { status: 503 }, 502],
      ['403', { status: 403 }, 403],
      ['reset', { reset: true }, 502],
      ['HTML with 200', { html: true }, 502],
      ['an empty body', { empty: true }, 502],
    ])('upstream %s', async (what, fault, status) => {
      const repository = `bad/${what.toLowerCase().replace(/[^a-z0-9]+/g, '-')}`;
      upstream.addImage({ repository, tag: 'v1' });
      upstream.faults.add({ path: new RegExp(repository), ...fault });
      expect((await get(base + path(repository, 'manifests/v1'))).status).toBe(status);
      upstream.faults.clear();
    });

    it('an unlisted registry is unknown and never called', async () => {
      const answer = await get(`${base}/v2/registry.example/a/manifests/v1`);
      expect([answer.status, errorOf(answer)]).toEqual([404, 'NAME_UNKNOWN']);
    });

    it('A114: writes are refused', async () => {
      const answer = await get(`${base}/v2/a/blobs/uploads/`, { method: 'POST' });
      expect([answer.status, errorOf(answer), answer.headers.allow]).toEqual([405, 'UNSUPPORTED', 'GET, HEAD']);
    });
  });

  it('C2: flipped bytes are never a complete body and never cached; the next request fetches anew', async () => {
    const blob = upstream.addBlob('flipped', { size: 3 * MiB, seed: 11 });
    const gate = new Deferred();
    const fault = { flip: 12_345, stall: { at: 2 * MiB, open: gate.promise } };
    upstream.faults.add({ path: new RegExp(blob.digest), ...fault, times: 1, method: 'GET' });
    // The rest comes only once the client has bytes; a failure before the first byte would be a plain 502.
    const bad = await get(base + path('flipped', `blobs/${blob.digest}`), { onBytes: () => gate.resolve() });
    expect(bad.cut).toBe(true);
    const good = await get(other + path('flipped', `blobs/${blob.digest}`));
    expect([good.status, digestOfBody(good.body)]).toEqual([200, blob.digest]);
  });

  it('C2: a small flipped blob is refused before its first byte, and asked anew at once', async () => {
    // Many, since the second request may meet the end of the first one's job.
    for (let seed = 100; seed < 125; seed++) {
      const blob = upstream.addBlob('flipped', { size: 5000, seed });
      const url = base + path('flipped', `blobs/${blob.digest}`);
      upstream.faults.add({ path: new RegExp(blob.digest), flip: 100, times: 1, method: 'GET' });
      expect((await get(url)).status).toBe(502);
      const again = await get(url);
      expect([again.status, digestOfBody(again.body)]).toEqual([200, blob.digest]);
    }
  });

  it('C1: a body cut by the upstream is resumed by Range at its place', async () => {
    const blob = upstream.addBlob('cut', { size: 6 * MiB, seed: 13 });
    upstream.requests.clear();
    upstream.faults.add({ path: new RegExp(blob.digest), truncate: 2 * MiB, times: 1, method: 'GET' });
    const answer = await get(base + path('cut', `blobs/${blob.digest}`));
    expect(digestOfBody(answer.body)).toBe(blob.digest);
    expect(
      upstream.requests
        .filter({ method: 'GET', path: new RegExp(blob.digest) })
        .some(({ range }) => range?.startsWith('bytes=')),
    ).toBe(true);
  });

  it('C1: without Range support it starts over, and the client only sees a pause', async () => {
    const blob = upstream.addBlob('cut', { size: 6 * MiB, seed: 14 });
    upstream.faults.add({ path: new RegExp(blob.digest), noRange: true });
    upstream.faults.add({ path: new RegExp(blob.digest), truncate: 2 * MiB, times: 1, method: 'GET' });
    expect(digestOfBody((await get(base + path('cut', `blobs/${blob.digest}`))).body)).toBe(blob.digest);
  });

  it('A66-A72: ranges on a cold blob and on a warm one', async () => {
    const blob = upstream.addBlob('ranged', { size: 3 * MiB, seed: 15 });
    const whole = Buffer.concat([...blob.chunks(0, blob.size)].map((chunk) => Buffer.from(chunk)));
    const cases: [string, number, number][] = [
      ['bytes=500-1499', 500, 1500],
      ['bytes=1000000-', 1_000_000, blob.size],
      ['bytes=-500', blob.size - 500, blob.size],
      [`bytes=3000000-${10 * MiB}`, 3_000_000, blob.size],
    ];
    for (const gateway of [base, other]) {
      for (const [range, start, end] of cases) {
        const answer = await get(gateway + path('ranged', `blobs/${blob.digest}`), { headers: { range } });
        expect([answer.status, answer.headers['content-range']]).toEqual([
          206,
          `bytes ${start}-${end - 1}/${blob.size}`,
        ]);
        expect(answer.body.equals(whole.subarray(start, end))).toBe(true);
      }
      const beyond = await get(gateway + path('ranged', `blobs/${blob.digest}`), {
        headers: { range: `bytes=${blob.size}-` },
      });
      expect([beyond.status, beyond.headers['content-range']]).toEqual([416, `bytes */${blob.size}`]);
    }
  });

  it('C37, C85: bytes are shared, permission is not: another repository is asked before it is served', async () => {
    const blob = upstream.addBlob('mine', { size: 70_000, seed: 16 });
    expect((await get(base + path('mine', `blobs/${blob.digest}`))).status).toBe(200);
    upstream.addImage({ repository: 'yours', tag: 'v1' });
    expect((await get(base + path('yours', `blobs/${blob.digest}`))).status).toBe(404);
    upstream.addBlob('ours', blob);
    upstream.requests.clear();
    expect((await get(base + path('ours', `blobs/${blob.digest}`))).status).toBe(200);
    expect(upstream.requests.gets(/ours\/blobs/)).toBe(0);
    expect(upstream.requests.count({ method: 'HEAD', path: /ours\/blobs/ })).toBe(1);
  });

  it('A81: an empty blob', async () => {
    const blob = upstream.addBlob('empty', Buffer.alloc(0));
    const answer = await get(base + path('empty', `blobs/${blob.digest}`));
    expect([answer.status, answer.headers['content-length'], answer.body.length]).toEqual([200, '0', 0]);
  });

  it('health names every dependency', async () => {
    for (const server of new Set([...system.gateways, ...system.pullers])) {
      const ready = (await (await fetch(`${server.admin}/health/ready`)).json()) as { details: object };
      expect(Object.keys(ready.details).sort()).toEqual(
        name === 'standalone' ? ['blobs', 'bus', 'postgresql'] : ['nats', 'postgresql', 's3'],
      );
      expect((await fetch(`${server.admin}/health/live`)).status).toBe(200);
    }
  });

  it('stops with exit code 0', async () => {
    const server = system.gateways[0]!;
    expect(await server.stop()).toBe(0);
    await server.start();
  });
});
