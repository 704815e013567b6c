import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Deferred } from '#async';
import { hostPlatform } from '#oci';
import { get } from '../support/client.js';
import { type Installation, install, stacks } from '../support/servers.js';
import { type AddedImage, type FakeUpstream, startFakeUpstream } from '../support/upstream/index.js';

jest.setTimeout(240_000);

interface Image {
  reference: string;
  line: number;
  state: string;
  digest?: string;
  objects: number;
  objectsDone: number;
  pulled: number;
  bytes: number;
  bytesDone: number;
  failure?: { reason: string; message: string };
}
interface Job {
  id: string;
  state: string;
  images: Image[];
}

const OTHER = hostPlatform().architecture === 'arm64' ? 'amd64' : 'arm64';
const OWN = OTHER === 'arm64' ? 'amd64' : 'arm64';

describe.each(stacks())('loading ahead on the %s stack', (name) => {
  let upstream: FakeUpstream;
  let system: Installation;
  let api: string;
  let atStart: AddedImage;
  const directory = mkdtempSync(join(tmpdir(), 'load-'));

  beforeAll(async () => {
    upstream = await startFakeUpstream();
    atStart = upstream.addImage({ repository: 'start/listed' });
    upstream.addImage({ repository: 'start/kept', seed: 9 });
    const list = join(directory, 'list');
    writeFileSync(list, `${upstream.host}/start/listed\n`);
    system = await install(name, [upstream.host], {
      prefetch: { enabled: false },
      // Not this machine's, so that it is the keys that decide.
      os: 'linux',
      arch: OTHER,
      preloadImages: list,
      preload: { images: [`${upstream.host}/start/kept`], schedule: '1h' },
    });
    api = `${(await system.admin()).admin}/api/v1`;
  });
  afterAll(async () => {
    await system?.stop();
    await upstream?.stop();
    rmSync(directory, { recursive: true });
  });
  afterEach(() => upstream.faults.clear());

  async function send(method: string, path: string, body?: unknown): Promise<{ status: number; body: Job }> {
    const init =
      body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
    const answer = await fetch(api + path, { method, ...init });
    return { status: answer.status, body: (await answer.json()) as Job };
  }

  async function ended(id: string): Promise<Job> {
    for (;;) {
      const { body } = await send('GET', `/preload/${id}`);
      if (body.state !== 'running') return body;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async function preload(body: object): Promise<Job> {
    const { status, body: job } = await send('POST', '/preload', body);
    expect([status, job.state]).toEqual([202, 'running']);
    return ended(job.id);
  }

  /** Everything of the image's platforms comes from us while the upstream is away. */
  async function expectServed(repository: string, tag: string, { root, images }: AddedImage, platforms: string[]) {
    const base = system.gateways.at(-1)!.url;
    const at = (rest: string) => `${base}/v2/${upstream.host}/${repository}/${rest}`;
    await upstream.stop();
    try {
      expect((await get(at(`manifests/${tag}`))).headers['docker-content-digest']).toBe(root.digest);
      for (const image of images.filter(({ platform }) => platforms.includes(platform))) {
        expect((await get(at(`manifests/${image.digest}`))).status).toBe(200);
        for (const { digest } of [image.config, ...image.layers])
          expect((await get(at(`blobs/${digest}`))).status).toBe(200);
      }
    } finally {
      await upstream.start();
    }
  }

  it('begins with what the configuration lists', async () => {
    let items: Job[] = [];
    while (items.length < 2) ({ items } = (await send('GET', '/preload')).body as unknown as { items: Job[] });
    const jobs = await Promise.all(items.map(({ id }) => ended(id)));
    expect(jobs.flatMap(({ images }) => images.map(({ reference, state }) => [reference, state])).sort()).toEqual([
      [`${upstream.host}/start/kept:latest`, 'done'],
      [`${upstream.host}/start/listed:latest`, 'done'],
    ]);
    await expectServed('start/listed', 'latest', atStart, ['linux/amd64']);
  });

  it('brings whole images, of an index only what `os` and `arch` say; a bad line fails that line', async () => {
    const added = upstream.addImage({
      repository: 'ahead/app',
      tag: 'v1',
      platforms: ['linux/amd64', 'linux/arm64'],
      layers: [2000, 300_000],
    });
    const plain = upstream.addImage({ repository: 'ahead/plain', tag: 'v2', seed: 2 });
    upstream.requests.clear();
    const job = await preload({
      images: `# tools\n${upstream.host}/ahead/app:v1, ${upstream.host}/ahead/plain:v2 # two\n\nNO/such:::\n${upstream.host}/ahead/none:v9`,
    });
    expect(job.state).toBe('failed');
    expect(job.images.map(({ reference, line, state, failure }) => [reference, line, state, failure?.reason])).toEqual([
      [`${upstream.host}/ahead/app:v1`, 2, 'done', undefined],
      [`${upstream.host}/ahead/plain:v2`, 2, 'done', undefined],
      ['NO/such:::', 4, 'failed', 'NAME_INVALID'],
      [`${upstream.host}/ahead/none:v9`, 5, 'failed', expect.stringMatching(/_UNKNOWN$/)],
    ]);
    // Index, image, config, two layers.
    expect(job.images[0]).toMatchObject({ digest: added.root.digest, objects: 5, objectsDone: 5, pulled: 5 });
    expect(job.images[0]!.bytes).toBe(job.images[0]!.bytesDone);
    const other = added.images.find(({ platform }) => platform === `linux/${OWN}`)!;
    expect(upstream.requests.gets(new RegExp(other.digest))).toBe(0);
    await expectServed('ahead/app', 'v1', added, [`linux/${OTHER}`]);
    await expectServed('ahead/plain', 'v2', plain, ['linux/amd64']);
  });

  it('brings the platforms that were asked for, and only what is missing when started again', async () => {
    const added = upstream.addImage({ repository: 'ahead/multi', platforms: ['linux/amd64', 'linux/arm64'], seed: 3 });
    const images = [`${upstream.host}/ahead/multi`];
    expect(await preload({ images, platforms: ['linux/amd64'] })).toMatchObject({ state: 'done' });
    const again = await preload({ images, platforms: ['all'] });
    // The tag is always asked again; the amd64 image is there.
    expect(again.images[0]).toMatchObject({ state: 'done', objects: 7, pulled: 4 });
    await expectServed('ahead/multi', 'latest', added, ['linux/amd64', 'linux/arm64']);
    const none = await preload({ images, platforms: ['linux/s390x'] });
    expect(none.images[0]!.failure?.message).toBe('no image for linux/s390x; there is linux/amd64, linux/arm64');
  });

  it('takes globs of tags, as the upstream lists them', async () => {
    const one = upstream.addImage({ repository: 'ahead/many', tag: '1.1', seed: 21 });
    upstream.addImage({ repository: 'ahead/many', tag: '1.2', seed: 22 });
    upstream.addImage({ repository: 'ahead/many', tag: '2.1', seed: 23 });
    const name = `${upstream.host}/ahead/many`;
    const job = await preload({ images: [`${name}:1.?`, `${name}:1.2`, `${name}:3*`] });
    expect(job.images.map(({ reference, state, failure }) => [reference, state, failure?.message])).toEqual([
      [`${name}:1.?`, 'done', undefined],
      [`${name}:1.2`, 'done', undefined],
      [`${name}:3*`, 'failed', 'no tag matches'],
      [`${name}:1.1`, 'done', undefined],
    ]);
    await expectServed('ahead/many', '1.1', one, ['linux/amd64']);
  });

  it('sits out trouble that passes', async () => {
    upstream.addImage({ repository: 'ahead/shaky', seed: 4 });
    upstream.faults.add({ path: /shaky\/blobs/, status: 503, times: 1 });
    expect(await preload({ images: [`${upstream.host}/ahead/shaky`] })).toMatchObject({ state: 'done' });
  });

  it('is cancelled, and lists what it did', async () => {
    upstream.addImage({ repository: 'ahead/slow', seed: 5 });
    const gate = new Deferred();
    upstream.faults.add({ path: /ahead\/slow/, gate: gate.promise });
    const { body: job } = await send('POST', '/preload', { images: [`${upstream.host}/ahead/slow`] });
    const { body: cancelled } = await send('DELETE', `/preload/${job.id}`);
    gate.resolve();
    expect([cancelled.state, cancelled.images[0]!.state]).toEqual(['cancelled', 'cancelled']);
    const { body } = (await send('GET', '/preload')) as unknown as { body: { items: Job[]; next: null } };
    expect([body.items[0]!.id, body.items[0]!.images, body.next]).toEqual([job.id, 1, null]);
  });

  it.each([
    [{ images: [] }, 400],
    [{ images: '# nothing' }, 400],
    [{ images: ['a'], platforms: ['amd64'] }, 400],
    [{ imgs: ['a'] }, 400],
  ])('refuses %j', async (body, status) => {
    expect((await send('POST', '/preload', body)).status).toBe(status);
  });

  it('does not know other jobs', async () => {
    expect((await send('GET', '/preload/nope')).status).toBe(404);
  });
});
