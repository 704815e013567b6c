import { get } from '../support/client.js';
import { eventually } from '../support/eventually.js';
import { type Installation, install, type ServerProcess, stacks } from '../support/servers.js';
import { type FakeUpstream, type MadeImage, startFakeUpstream } from '../support/upstream/index.js';

jest.setTimeout(240_000);

type Counts = Record<string, number>;

interface Page {
  items: Record<string, unknown>[];
  next?: string;
}

describe.each(stacks())('the admin API on the %s stack', (name) => {
  let upstream: FakeUpstream;
  let system: Installation;
  let admin: string;
  let image: MadeImage;

  beforeAll(async () => {
    upstream = await startFakeUpstream();
    system = await install(name, [upstream.host]);
    admin = `${system.gateways[0]!.admin}/api/v1`;
    const { images } = upstream.addImage({
      repository: 'team/app',
      tag: 'v1',
      platforms: ['linux/amd64', 'linux/arm64'],
    });
    image = images[0]!;
    upstream.addImage({ repository: 'team/tool', tag: 'v2' });
    await pull('team/app', 'v1');
    await pull('team/app', image.digest);
    for (const { digest } of [image.config, ...image.layers]) await blob('team/app', digest);
    await pull('team/tool', 'v2');
  });
  afterAll(async () => {
    await system?.stop();
    await upstream?.stop();
  });

  const url = (path: string, server: ServerProcess = system.gateways[0]!) =>
    `${server.url}/v2/${upstream.host}/${path}`;
  const pull = async (repository: string, reference: string) =>
    expect((await get(url(`${repository}/manifests/${reference}`))).status).toBe(200);
  const blob = async (repository: string, digest: string) =>
    expect((await get(url(`${repository}/blobs/${digest}`))).status).toBe(200);
  const ask = async <T = Page>(path: string, init?: RequestInit): Promise<T> => {
    const answer = await fetch(`${admin}/${path}`, init);
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as T;
  };

  it('lists images with their platforms and sizes, in pages, by every role that has the admin port', async () => {
    for (const server of new Set([...system.gateways, ...system.pullers])) {
      const { items } = (await (await fetch(`${server.admin}/api/v1/images?pattern=:v`)).json()) as Page;
      expect(items.map(({ reference, platforms }) => [reference, platforms])).toEqual([
        [`${upstream.host}/team/app:v1`, ['linux/amd64']],
        [`${upstream.host}/team/tool:v2`, []],
      ]);
      expect(Number(items[0]!.size)).toBeGreaterThan(1000);
    }
    const first = await ask('images?limit=1&sort=-lastAccess');
    const second = await ask(`images?limit=1&sort=-lastAccess&cursor=${first.next}`);
    expect([first.items, second.items].flat()).toHaveLength(2);
    expect(first.items).not.toEqual(second.items);
    expect(second.next).toBeUndefined();
    expect((await ask(`images?pattern=glob:${upstream.host}/team/t*:v?`)).items).toHaveLength(1);
    const wrong = await fetch(`${admin}/images?pattern=(`);
    expect([wrong.status, wrong.headers.get('content-type')]).toEqual([400, 'application/problem+json; charset=utf-8']);
  });

  it('shows one image in full', async () => {
    const found = await ask<{ tree: { children: object[] }; history: object[] }>(
      `image?ref=${upstream.host}/team/app:v1`,
    );
    expect(found.history).toHaveLength(1);
    expect(found.tree.children).toEqual([
      expect.objectContaining({
        digest: image.digest,
        platform: 'linux/amd64',
        held: true,
        contents: [image.config, ...image.layers].map(({ digest }) => expect.objectContaining({ digest, held: true })),
      }),
      expect.objectContaining({ platform: 'linux/arm64', held: false }),
    ]);
    expect((await fetch(`${admin}/image?ref=${upstream.host}/team/app:nothing`)).status).toBe(404);
    // Gateways write it behind the pull.
    await eventually(async () => {
      const { tree } = await ask<{ tree: { lastClient?: string } }>(`image?ref=${upstream.host}/team/app:v1`);
      expect(tree.lastClient).toMatch(/127\.0\.0\.1/);
    }, 90_000);
  });

  it('lists manifests, tags, blobs and pulls', async () => {
    const manifests = (await ask('manifests')).items.map(({ digest }) => digest);
    expect(manifests).toContain(image.digest);
    expect((await ask('tags')).items.map(({ tag }) => tag)).toEqual(['v1', 'v2']);
    const blobs = (await ask('blobs?sort=-size')).items.map(({ digest }) => digest);
    for (const { digest } of [image.config, ...image.layers]) expect(blobs).toContain(digest);
    const pulls = await ask('pulls?limit=1000');
    expect(pulls.items).toContainEqual(
      expect.objectContaining({ kind: 'manifest', repository: 'team/app', reference: 'v1', state: 'done', attempt: 1 }),
    );
  });

  it('tells what the cache was good for, over all processes and restarts', async () => {
    await pull('team/app', 'v1');
    await blob('team/app', image.layers[0]!.digest);
    await system.restartAll();
    const stats = await ask<{
      content: { tags: number };
      usage: Record<string, { byUpstream: Record<string, number | string>[]; byKind: Record<string, Counts> }>;
    }>('stats');
    expect(stats.content).toMatchObject({ tags: 2 });
    for (const window of ['1h', '24h', '30d']) {
      const { byKind, byUpstream } = stats.usage[window]!;
      expect(byKind.manifest).toMatchObject({ hits: 1, misses: 3, failures: 0 });
      expect(byKind.blob!.hits! + byKind.blob!.misses!).toBe(image.layers.length + 2);
      expect(byKind.blob!.bytesServed).toBeGreaterThan(byKind.blob!.bytesFetched!);
      expect(byUpstream).toEqual([expect.objectContaining({ upstream: upstream.host, failures: 0 })]);
    }
  });

  it('serves its OpenAPI document and Swagger UI, and shows the configuration', async () => {
    expect(await ask('openapi.json')).toMatchObject({ openapi: '3.1.0' });
    const base = admin.replace('/api/v1', '');
    expect((await fetch(`${base}/docs`)).headers.get('content-type')).toContain('text/html');
    expect((await fetch(`${base}/docs/swagger-ui-bundle.js`)).status).toBe(200);
    expect(await (await fetch(`${base}/api/v1/registry.yaml`)).text()).toMatch(/^openapi: 3\.1/m);
    // Where the process serves the pull API, its page can try it.
    expect((await fetch(`${base}/v2/`)).status).toBe(200);
    const puller = system.pullers[0]!.admin;
    expect((await fetch(`${puller}/v2/`)).status).toBe(name === 'standalone' ? 200 : 404);
    expect(await ask('config')).toMatchObject({ stack: name, logLevel: 'debug' });
  });

  it('serves the web UI, which needs nothing from elsewhere', async () => {
    const base = admin.replace('/api/v1', '');
    const page = await fetch(`${base}/`);
    expect(page.headers.get('content-type')).toContain('text/html');
    expect(page.headers.get('content-security-policy')).toContain("default-src 'self'");
    const text = await page.text();
    const parts = [...text.matchAll(/(?:src|href)="\.\/([^"]+)"/g)].map(([, path]) => path!);
    expect(parts.some((path) => path.endsWith('.js')) && parts.some((path) => path.endsWith('.css'))).toBe(true);
    for (const path of parts) expect([path, (await fetch(`${base}/${path}`)).status]).toEqual([path, 200]);
    expect(text).not.toMatch(/(?:src|href)="(?:https?:)?\/\//);
  });

  it('answers only who says its local name', async () => {
    const rebound = await get(`${admin}/images`, { headers: { host: 'evil.example' } });
    expect(rebound.status).toBe(403);
  });
});
