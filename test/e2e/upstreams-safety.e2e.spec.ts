import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Answer, digestOfBody, get } from '../support/client.js';
import { eventually } from '../support/eventually.js';
import { type Installation, install, ServerProcess, stacks } from '../support/servers.js';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream/index.js';

jest.setTimeout(240_000);

const reasonOf = (answer: Answer) => JSON.parse(answer.body.toString()).errors[0].detail?.reason;
const digestOf = ({ headers }: Answer) => headers['docker-content-digest'];

describe.each(stacks())('what an upstream may lead to, and what may be shared, on the %s stack', (name) => {
  let upstream: FakeUpstream;
  let other: FakeUpstream;
  let system: Installation;
  let canary: Server;
  let touched = 0;
  let port = 0;

  beforeAll(async () => {
    canary = createServer((socket) => {
      touched++;
      socket.destroy();
    });
    await new Promise<void>((resolve) => canary.listen(0, '127.0.0.1', resolve));
    port = (canary.address() as { port: number }).port;
    [upstream, other] = await Promise.all([startFakeUpstream(), startFakeUpstream()]);
    system = await install(name, [], {
      registries: [
        { name: upstream.host, scheme: 'http' },
        {
          name: other.host,
          scheme: 'http',
          content: { maxBlob: '100KB', mediaTypes: ['application/vnd.oci.image.*'] },
        },
      ],
      upstreams: { allowUnlisted: true },
    });
  });
  afterAll(async () => {
    await system?.stop();
    await Promise.all([upstream?.stop(), other?.stop()]);
    canary?.close();
  });
  afterEach(() => upstream.faults.clear());
  const at = (path: string, nth = 0) => get(`${system.gateways.at(nth)!.url}/v2/${path}`);

  it('C28: what is not public is refused by its name, even with unlisted registries allowed', async () => {
    const hosts = [
      '169.254.169.254',
      'localhost:PORT',
      '127.0.0.1:PORT',
      '[::1]',
      '[::1]:PORT',
      '2130706433',
      '0x7f.1',
    ];
    for (const host of [...hosts, 'metadata.google.internal', '10.0.0.1:5000', 'a.local']) {
      const answer = await at(`a/b/manifests/v1?ns=${encodeURIComponent(host.replace('PORT', String(port)))}`);
      expect([host, [400, 404].includes(answer.status)]).toEqual([host, true]);
    }
    expect(touched).toBe(0);
  });

  it('C29: an allowed upstream that redirects there is a 502, and nothing is connected', async () => {
    for (const target of [
      `http://127.0.0.1:${port}/x`,
      `http://localhost:${port}/x`,
      'http://169.254.169.254/latest',
    ]) {
      upstream.faults.add({ path: /redirected/, redirect: target });
      for (const what of ['manifests/v1', `blobs/sha256:${'1'.repeat(64)}`]) {
        const answer = await at(`${upstream.host}/redirected/${what.replace('v1', `v${touched}${target.length}`)}`);
        expect([answer.status, reasonOf(answer)]).toEqual([
          502,
          'the upstream registry leads to an address that is not allowed',
        ]);
      }
      upstream.faults.clear();
    }
    expect(touched).toBe(0);
  });

  it('B7, C28: nor is a token service there asked', async () => {
    const challenge = `Bearer realm="http://localhost:${port}/token",service="s"`;
    upstream.faults.add({ path: /realm/, status: 401, headers: { 'www-authenticate': challenge } });
    const answer = await at(`${upstream.host}/realm/manifests/v1`);
    expect([answer.status, touched]).toEqual([502, 0]);
  });

  it('C37: prefetch asks ahead whether shared bytes may be shown, so that they are when the upstream is gone', async () => {
    const { images } = upstream.addImage({ repository: 'first', tag: 'v1', seed: 5 });
    upstream.addImage({ repository: 'second', tag: 'v1', seed: 5 });
    const parts = [images[0]!.config, ...images[0]!.layers];
    await at(`${upstream.host}/first/manifests/v1`);
    for (const { digest } of parts)
      expect(digestOfBody((await at(`${upstream.host}/first/blobs/${digest}`)).body)).toBe(digest);
    upstream.requests.clear();
    expect((await at(`${upstream.host}/second/manifests/v1`)).status).toBe(200);
    await eventually(async () => {
      for (const { digest } of parts)
        expect(
          upstream.requests.count({ method: 'HEAD', status: 200, path: new RegExp(`second/blobs/${digest}`) }),
        ).toBe(1);
    });
    expect(upstream.requests.gets(/second\/blobs/)).toBe(0);
    await upstream.stop();
    try {
      await eventually(async () => {
        for (const { digest } of parts)
          expect((await at(`${upstream.host}/second/blobs/${digest}`, -1)).status).toBe(200);
      });
    } finally {
      await upstream.start();
    }
  });

  it('C36, C37: what one repository shows is not shown in another that does not, by digest, HEAD or Range', async () => {
    const { root, images } = upstream.addImage({ repository: 'private/app', tag: 'v1', seed: 6 });
    upstream.addImage({ repository: 'private/app', tag: 'secret', seed: 6 });
    upstream.addImage({ repository: 'public/app', tag: 'v1', seed: 7 });
    const { digest } = images[0]!.layers[0]!;
    expect((await at(`${upstream.host}/private/app/manifests/v1`)).status).toBe(200);
    expect((await at(`${upstream.host}/private/app/blobs/${digest}`)).status).toBe(200);
    for (const host of [upstream.host, other.host]) {
      const base = `${system.gateways[0]!.url}/v2/${host}/public/app`;
      for (const [path, options] of [
        [`manifests/${root.digest}`, {}],
        [`manifests/${root.digest}`, { method: 'HEAD' }],
        [`blobs/${digest}`, {}],
        [`blobs/${digest}`, { method: 'HEAD' }],
        [`blobs/${digest}`, { headers: { range: 'bytes=0-9' } }],
      ] as const)
        expect([path, (await get(`${base}/${path}`, options)).status]).toEqual([path, 404]);
    }
    expect((await at(`${upstream.host}/private/app/tags/list`)).body.toString()).toContain('secret');
    const tags = await at(`${upstream.host}/public/app/tags/list`);
    expect(JSON.parse(tags.body.toString()).tags).toEqual(['v1']);
    const referrers = await at(`${upstream.host}/public/app/referrers/${root.digest}`);
    expect(JSON.parse(referrers.body.toString()).manifests ?? []).toEqual([]);
  });

  it('content rules: a vetoed manifest is 403 with the reason, a large blob too, and nothing of them is stored', async () => {
    other.addImage({ repository: 'large', tag: 'v1', layers: [200_000] });
    other.addImage({ repository: 'docker', tag: 'v1', mediaTypes: 'docker' });
    const blob = other.addBlob('large', { size: 150_000, seed: 3 });
    other.requests.clear();
    // A HEAD is told no more than a GET, and so no manifest that was not seen.
    const bare = await get(`${system.gateways[0]!.url}/v2/${other.host}/large/manifests/v1`, { method: 'HEAD' });
    expect([bare.status, digestOf(bare)]).toEqual([403, undefined]);
    for (const [path, reason] of [
      ['large/manifests/v1', /^refused by the rules of this cache: a blob has \d+ bytes, and 100000 are allowed/],
      [`large/blobs/${blob.digest}`, /a blob has 150000 bytes/],
      ['docker/manifests/v1', /the media type application\/vnd\.docker\..* is not allowed from this upstream/],
    ] as const) {
      const answer = await at(`${other.host}/${path}`);
      expect([path, answer.status, reasonOf(answer)]).toEqual([path, 403, expect.stringMatching(reason)]);
    }
    expect(other.requests.gets(/blobs/)).toBe(1);
  });

  it('C39: the same name at two upstreams is two images', async () => {
    const mine = upstream.addImage({ repository: 'same/app', tag: 'v1', seed: 8 }).root.digest;
    const theirs = other.addImage({ repository: 'same/app', tag: 'v1', seed: 9 }).root.digest;
    for (const nth of [0, -1, 0]) {
      expect(digestOf(await at(`${upstream.host}/same/app/manifests/v1`, nth))).toBe(mine);
      expect(digestOf(await at(`${other.host}/same/app/manifests/v1`, nth))).toBe(theirs);
    }
    expect((await at(`${upstream.host}/same/app/manifests/${theirs}`)).status).toBe(404);
  });
});

describe('servers that ask nobody', () => {
  let directory: string;
  let upstream: FakeUpstream;
  let server: ServerProcess | undefined;
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'ociregistry-closed-'));
    chmodSync(directory, 0o755);
    upstream = await startFakeUpstream();
  });
  afterEach(async () => {
    await server?.stop();
    server = undefined;
  });
  afterAll(async () => {
    await upstream?.stop();
    rmSync(directory, { recursive: true, force: true });
  });
  const start = async (data: string, config: object) => {
    const registries = [{ name: upstream.host, scheme: 'http' }];
    server = await ServerProcess.start('all', { registries, ...config, dataDir: join(directory, data) }, directory);
    return (path: string) => get(`${server!.url}/v2/${path}`);
  };

  it('air-gapped: serves what it has, however old, and says why it has no more; no socket is opened', async () => {
    const { root, images } = upstream.addImage({ repository: 'app', tag: 'v1' });
    const { digest } = images[0]!.layers[0]!;
    const before = await start('gapped', { prefetch: { enabled: false } });
    await before(`${upstream.host}/app/manifests/v1`);
    await before(`${upstream.host}/app/blobs/${digest}`);
    await server!.stop();
    const { connections } = upstream;
    const at = await start('gapped', {
      airGapped: true,
      tags: { fresh: '0s', stale: '0s' },
      watch: [{ image: `${upstream.host}/app:v1`, every: '1s' }],
      preload: { images: [`${upstream.host}/more:v1`] },
    });
    expect(digestOf(await at(`${upstream.host}/app/manifests/v1`))).toBe(root.digest);
    expect((await at(`${upstream.host}/app/blobs/${digest}`)).status).toBe(200);
    for (const missing of ['app/manifests/v2', `app/blobs/sha256:${'0'.repeat(64)}`, 'more/manifests/v1']) {
      const answer = await at(`${upstream.host}/${missing}`);
      expect([answer.status, reasonOf(answer)]).toEqual([404, 'not in the cache, and this server is air-gapped']);
    }
    expect(upstream.connections).toBe(connections);
  });

  it('helloWorld: has one image that can be pulled by every name of it, and nothing else', async () => {
    const at = await start('hello', { helloWorld: true });
    for (const path of [
      'docker.io/hello-world',
      'docker.io/library/hello-world',
      'library/hello-world',
      'hello-world',
    ]) {
      const index = await at(`${path}/manifests/latest`);
      expect([path, index.status]).toEqual([path, 200]);
      const [{ digest }] = JSON.parse(index.body.toString()).manifests;
      const image = JSON.parse((await at(`${path}/manifests/${digest}`)).body.toString());
      for (const part of [image.config, ...image.layers])
        expect(digestOfBody((await at(`${path}/blobs/${part.digest}`)).body)).toBe(part.digest);
    }
    const none = await at('docker.io/library/alpine/manifests/latest');
    expect([none.status, reasonOf(none)]).toEqual([
      404,
      'not there: with helloWorld this server has only docker.io/library/hello-world:latest',
    ]);
    expect((await at(`${upstream.host}/app/manifests/v1`)).status).toBe(404);
  });
});
