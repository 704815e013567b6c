import { Client } from 'pg';
import { digestOfBody, get } from '../support/client.js';
import { ociregistry } from '../support/command.js';
import { eventually } from '../support/eventually.js';
import { type Installation, install, stacks } from '../support/servers.js';
import { type AddedImage, type FakeUpstream, startFakeUpstream } from '../support/upstream/index.js';

jest.setTimeout(240_000);

interface Job {
  state: string;
  segments: number;
  manifests: number;
  tags: number;
  blobs: number;
  missing: number;
  problems: string[];
}

describe.each(stacks())('a catalog that was lost on the %s stack', (name) => {
  let upstream: FakeUpstream;
  let system: Installation;
  let index: AddedImage;
  let moved: AddedImage;
  let lost: AddedImage;

  beforeAll(async () => {
    upstream = await startFakeUpstream();
    const platforms = ['linux/amd64', 'linux/arm64'];
    index = upstream.addImage({ repository: 'team/app', tag: 'v1', platforms, layers: [2000, 70_000] });
    upstream.addImage({ repository: 'team/moving', tag: 'latest', seed: 2 });
    lost = upstream.addImage({ repository: 'team/lost', tag: 'v1', layers: [90_000], seed: 4 });
    system = await install(name, [upstream.host], { tags: { fresh: '0s', stale: '0s' }, verify: { atStart: false } });
    const { admin } = await system.admin();
    const reference = (image: string) => `${upstream.host}/team/${image}`;
    const load = (...args: string[]) => ociregistry(['load', ...args, '--server', admin]);
    expect(await load('--platform', 'all', reference('app:v1'), reference('moving'))).toMatchObject({ code: 0 });
    moved = upstream.addImage({ repository: 'team/moving', tag: 'latest', seed: 3 });
    expect(await load(reference('moving'), reference('lost:v1'))).toMatchObject({ code: 0 });
  });
  afterAll(async () => {
    await system?.stop();
    await upstream?.stop();
  });

  const at = (rest: string) => `${system.gateways[0]!.url}/v2/${upstream.host}/team/${rest}`;

  async function expectServed(repository: string, tag: string, { root, images }: AddedImage) {
    expect((await get(at(`${repository}/manifests/${tag}`))).headers['docker-content-digest']).toBe(root.digest);
    for (const image of images) {
      expect(digestOfBody((await get(at(`${repository}/manifests/${image.digest}`))).body)).toBe(image.digest);
      for (const { digest } of [image.config, ...image.layers])
        expect(digestOfBody((await get(at(`${repository}/blobs/${digest}`))).body)).toBe(digest);
    }
  }

  async function loseDatabase(): Promise<void> {
    const processes = await system.processes();
    await Promise.all(processes.map((server) => server.stop()));
    await system.loseDatabase();
    await Promise.all(processes.map((server) => server.start()));
  }

  async function rebuild(): Promise<Job & { code: number | null; err: string }> {
    const { admin } = await system.admin();
    const { code, out, err } = await ociregistry(['rebuild', '--output', 'json', '--server', admin]);
    if (out === '') throw new Error(err);
    return { ...(JSON.parse(out) as Job), code, err };
  }

  /** Rows as they are, without what the database makes up itself. */
  async function facts(): Promise<unknown> {
    const client = new Client({ connectionString: system.databaseUrl });
    await client.connect();
    try {
      const repository = `r.upstream || '/' || r.path AS repository`;
      const rows = async (sql: string) => (await client.query(sql)).rows;
      return {
        manifests: await rows(`SELECT ${repository}, encode(m.digest, 'hex') AS digest, m.size, m.annotations::text,
          coalesce(h.media_type, m.media_type) AS type
          FROM repository_manifests h JOIN repositories r ON r.id = h.repository_id JOIN manifests m ON m.id = h.manifest_id
          ORDER BY 1, 2`),
        edges:
          await rows(`SELECT encode(m.digest, 'hex') AS parent, encode(e.child, 'hex') AS child, e.kind, e.size, e.platform
          FROM edges e JOIN manifests m ON m.id = e.parent_id ORDER BY 1, e.ordinal`),
        tags: await rows(`SELECT ${repository}, t.name, encode(m.digest, 'hex') AS digest
          FROM tags t JOIN repositories r ON r.id = t.repository_id JOIN manifests m ON m.id = t.manifest_id ORDER BY 1, 2`),
        blobs: await rows(`SELECT ${repository}, encode(b.digest, 'hex') AS digest, b.size
          FROM repository_blobs h JOIN repositories r ON r.id = h.repository_id JOIN blobs b ON b.id = h.blob_id ORDER BY 1, 2`),
      };
    } finally {
      await client.end();
    }
  }

  it('is rebuilt from what lies beside the blobs, and serves with the upstream away', async () => {
    const before = await facts();
    await loseDatabase();
    await upstream.stop();
    expect((await get(at('app/manifests/v1'))).status).toBeGreaterThanOrEqual(500);
    const servers = [...new Set([...(await system.processes())])];
    await eventually(async () => {
      expect(servers.some(({ log }) => log.includes('ociregistry rebuild'))).toBe(true);
    });
    const report = await rebuild();
    expect([report.code, report.err, report.state]).toEqual([0, '', 'done']);
    expect(report).toMatchObject({ manifests: expect.any(Number), missing: 0, problems: [] });
    expect(await facts()).toEqual(before);
    await expectServed('app', 'v1', index);
    await expectServed('moving', 'latest', moved);
    // Permission is per repository: what one has shown is not another's.
    const layer = index.images[0]!.layers[0]!.digest;
    expect((await get(at(`moving/blobs/${layer}`))).status).toBeGreaterThanOrEqual(400);
  });

  it('leaves the journal of the new catalog only, from which it can be rebuilt again', async () => {
    const names = await system.stored.segments();
    expect(new Set(names.map((segment) => segment.split('/')[0])).size).toBe(1);
    expect(names.some((segment) => segment.includes('-snapshot-'))).toBe(true);
    const before = await facts();
    await loseDatabase();
    expect(await rebuild()).toMatchObject({ code: 0, state: 'done' });
    expect(await facts()).toEqual(before);
    // Told again it knows nothing new.
    expect(await rebuild()).toMatchObject({ code: 0, state: 'done', tags: 0 });
    expect(await facts()).toEqual(before);
  });

  it('tells what has no bytes, and what of the journal cannot be read', async () => {
    const [layer] = lost.images[0]!.layers;
    await system.stored.remove(layer!.digest);
    await system.stored.writeSegment('other/20200101T000000000Z-damaged-0.gz', Buffer.from('no journal'));
    await loseDatabase();
    const report = await rebuild();
    expect([report.code, report.missing, report.problems.length]).toEqual([1, 1, 1]);
    expect(report.err).toContain('other/20200101T000000000Z-damaged-0.gz: ');
    await expectServed('app', 'v1', index);
    // It is kept for those who want to look.
    expect(await system.stored.segments()).toContain('other/20200101T000000000Z-damaged-0.gz');
    await upstream.start();
    await eventually(() => expectServed('lost', 'v1', lost));
  });
});
