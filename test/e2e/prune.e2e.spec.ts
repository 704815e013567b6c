import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Pool } from 'pg';
import { Deferred } from '#async';
import { digestOfBody, get } from '../support/client.js';
import { ociregistry, ociregistryOnTerminal } from '../support/command.js';
import { eventually } from '../support/eventually.js';
import { spoolFiles } from '../support/inside.js';
import { type Installation, install, stacks } from '../support/servers.js';
import { type AddedImage, type FakeUpstream, startFakeUpstream } from '../support/upstream/index.js';
import { pruneAgainstPulls } from './prune/pulls-against-prunes.js';

jest.setTimeout(300_000);

const MB = 1_000_000;
/** Longer than the keeper's longest interval, on a busy machine. */
const BY_ITSELF_MS = 90_000;

interface Job {
  id: string;
  state: string;
  planned: Record<string, number | boolean>;
  removed: Record<string, number>;
  error?: string;
}

describe.each(stacks())('pruning on the %s stack', (name) => {
  let upstream: FakeUpstream;
  let system: Installation;
  let admin: string;
  let sql: Pool;

  beforeAll(async () => {
    upstream = await startFakeUpstream();
    system = await install(name, [upstream.host], {
      prefetch: { enabled: false },
      cache: { protect: '0s', keep: ['/kept/', 'glob:*/team/pinned:v*'], maxSize: '60MB' },
      tags: { rules: [{ match: `${upstream.host}/rules/**:v[0-9]*`, pin: true }] },
      pruneConfig: { enabled: true, duration: '30d', type: 'accessed', frequency: '1s' },
    });
    admin = (await system.admin()).admin;
    sql = new Pool({ connectionString: system.databaseUrl, max: 1 });
    // Restarts of the private database are part of the game.
    sql.on('error', () => {});
  });
  afterAll(async () => {
    await sql?.end().catch(() => {});
    await system?.stop();
    await upstream?.stop();
  });

  const at = (path: string, gateway = 0) =>
    `${system.gateways[gateway % system.gateways.length]!.url}/v2/${upstream.host}/${path}`;
  const fetched = async (path: string, gateway?: number) => {
    const answer = await get(at(path, gateway));
    expect([path, answer.status, answer.cut]).toEqual([path, 200, false]);
    return answer;
  };
  /** Everything of the image, as a client would. */
  const pull = async (repository: string, tag: string, { images }: AddedImage) => {
    await fetched(`${repository}/manifests/${tag}`);
    for (const image of images) {
      await fetched(`${repository}/manifests/${image.digest}`);
      for (const { digest } of [image.config, ...image.layers])
        expect(digestOfBody((await fetched(`${repository}/blobs/${digest}`)).body)).toBe(digest);
    }
  };
  const added = async (repository: string, tag: string, seed: number, layers = [1000]) => {
    const image = upstream.addImage({ repository, tag, seed, layers });
    await pull(repository, tag, image);
    await recorded(repository, image);
    return image;
  };
  /** A client has its bytes before the rows that tell of them are written. */
  const recorded = (repository: string, { images }: AddedImage) =>
    eventually(async () => {
      const { rows } = await sql.query<{ digest: string }>(
        `SELECT encode(b.digest, 'hex') AS digest FROM blobs b JOIN repository_blobs h ON h.blob_id = b.id
         JOIN repositories r ON r.id = h.repository_id WHERE r.path = $1`,
        [repository],
      );
      const blobs = images.flatMap(({ config, layers }) => [config, ...layers]);
      const wanted = blobs.map(({ digest }) => digest.replace('sha256:', ''));
      expect(rows.map(({ digest }) => digest)).toEqual(expect.arrayContaining(wanted));
    });
  /** As a preload brings it, whose access times are not written later on. */
  const loaded = async (repository: string, tag: string, seed: number, layers = [1000]) => {
    const image = upstream.addImage({ repository, tag, seed, layers });
    const { body } = await rest('POST', '/preload', { images: [`${upstream.host}/${repository}:${tag}`] });
    await eventually(async () => expect((await rest('GET', `/preload/${body.id}`)).body.state).toBe('done'));
    return image;
  };
  const rest = async <T = Job>(method: string, path: string, body?: object): Promise<{ status: number; body: T }> => {
    const init = body ? { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) } : {};
    const answer = await fetch(`${admin}/api/v1${path}`, { method, ...init });
    return { status: answer.status, body: (await answer.json()) as T };
  };
  const ended = (id: string) =>
    eventually(async () => {
      const { body } = await rest('GET', `/prune/${id}`);
      expect(body.state).not.toMatch(/planned|running/);
      return body;
    }, BY_ITSELF_MS);
  const prune = async (rule: object) => {
    const { status, body } = await eventually(async () => {
      const answer = await rest('POST', '/prune', { all: true, ...rule });
      // The keeper's own prune may be running.
      expect(answer.status).not.toBe(409);
      return answer;
    });
    expect([status, body.state]).toEqual([202, expect.stringMatching(/running|done/)]);
    const job = await ended(body.id);
    expect(job.error).toBeUndefined();
    return job;
  };
  const tags = async (pattern: string) => {
    const { body } = await rest<{ items: { reference: string }[] }>('GET', `/images?pattern=${pattern}&limit=1000`);
    return body.items.map(({ reference }) => reference.replace(`${upstream.host}/`, ''));
  };
  const aged = (path: string, days: number) =>
    sql.query(
      `UPDATE repository_manifests h SET last_access = now() - $2 * interval '1 day', stored_at = now() - $2 * interval '1 day'
       FROM repositories r WHERE r.id = h.repository_id AND r.path = $1`,
      [path, days],
    );
  const command = (args: string[]) => ociregistry([...args, '--server', admin]);

  it('plans, then removes by pattern what nothing else refers to; a shared layer survives', async () => {
    const one = await added('team/one', 'v1', 1, [1000]);
    const two = await added('team/two', 'v1', 1, [1000, 2000]);
    const [shared] = one.images[0]!.layers;
    const own = two.images[0]!.layers[1]!;
    expect(two.images[0]!.layers[0]!.digest).toBe(shared!.digest);
    const plan = await rest('POST', '/prune/plan', { pattern: 'team/two' });
    expect([plan.status, plan.body]).toEqual([
      200,
      expect.objectContaining({
        state: 'planned',
        planned: expect.objectContaining({ images: 1, tags: 1, manifests: 1, blobs: 2, protected: 0 }),
      }),
    ]);
    const images = await rest<{ items: object[] }>('GET', `/prune/${plan.body.id}/images`);
    expect(images.body.items).toEqual([
      expect.objectContaining({ references: [`${upstream.host}/team/two:v1`], digest: two.root.digest, whole: true }),
    ]);
    expect(await system.stored.has(own.digest)).toBe(true);
    expect((await rest('POST', `/prune/${plan.body.id}/apply`, {})).status).toBe(202);
    const job = await ended(plan.body.id);
    expect(job).toMatchObject({ state: 'done', removed: { images: 1, tags: 1, manifests: 1, blobs: 2 } });
    expect(job.planned).toMatchObject(job.removed);
    expect([await system.stored.has(own.digest), await system.stored.has(shared!.digest)]).toEqual([false, true]);
    expect(await tags('team/')).toEqual(['team/one:v1']);
    expect((await rest('POST', `/prune/${plan.body.id}/apply`, {})).status).toBe(409);
    // Every gateway has forgotten it, and fetches it again.
    upstream.requests.clear();
    for (const gateway of system.gateways.keys()) await fetched(`team/one/manifests/v1`, gateway);
    expect(upstream.requests.gets(/team\/one\/manifests/)).toBe(0);
    // The signal may be a moment late.
    await eventually(async () => {
      await pull('team/two', 'v1', two);
      expect(upstream.requests.gets(/team\/two\/manifests/)).toBeGreaterThan(0);
    });
    expect(upstream.requests.gets(new RegExp(own.digest))).toBe(1);
  });

  it('refuses what would leave nothing, expressions that are none, and plans that it does not know', async () => {
    await added('team/pinned', 'x1', 30);
    const everything = await rest<{ detail: string }>('POST', '/prune', { pattern: '.' });
    expect([everything.status, everything.body.detail]).toEqual([400, expect.stringContaining('all')]);
    for (const [body, detail] of [
      [{ pattern: '(' }, 'pattern'],
      [{ pattern: ',' }, 'pattern'],
      [{ olderThan: 'yesterday' }, 'olderThan'],
      [{ toSize: 'big' }, 'toSize'],
      [{ colour: 'red' }, 'colour'],
    ] as const) {
      const answer = await rest<{ detail: string }>('POST', '/prune/plan', body);
      expect([answer.status, answer.body.detail]).toEqual([400, expect.stringContaining(detail)]);
    }
    for (const path of ['/prune/999999', '/prune/nonsense']) expect((await rest('GET', path)).status).toBe(404);
    const { body } = await rest('POST', '/prune/plan', { pattern: '.' });
    expect((await rest('DELETE', `/prune/${body.id}`)).body.state).toBe('cancelled');
    expect((await rest<{ items: Job[] }>('GET', '/prune?limit=1')).body.items).toHaveLength(1);
  });

  it('works from the command line: shows, asks nobody who cannot answer, removes by age and to a size', async () => {
    await loaded('cli/old', 'v1', 40);
    await loaded('cli/new', 'v1', 41);
    await aged('cli/old', 20);
    const old = `${upstream.host}/cli/old:v1`;
    expect(await command(['prune', '--pattern', 'cli/'])).toMatchObject({ code: 2, out: '' });
    expect(await command(['prune', '--yes'])).toMatchObject({ code: 1, err: expect.stringContaining('--all') });
    const date = new Date(Date.now() - 10 * 86_400_000).toISOString();
    for (const args of [
      ['--date', date],
      ['--unused-for', '10d'],
      ['--pattern', 'cli/old'],
    ]) {
      const { code, out } = await command(['prune', ...args, '--dry-run']);
      expect([code, out.split('\n')[0], out]).toEqual([0, old, expect.stringContaining('would remove 1 image, 1 tag')]);
    }
    expect(await command(['list', '--pattern', 'cli/', '--output', 'json'])).toMatchObject({ code: 0 });
    const planned = await command(['prune', '--pattern', 'cli/old', '--dry-run', '--output', 'json']);
    expect(JSON.parse(planned.out)).toMatchObject({ state: 'planned', planned: { images: 1, tags: 1 } });
    expect(await command(['prune', '--unused-for', '10d', '--pattern', 'cli/', '--yes'])).toMatchObject({
      code: 0,
      out: expect.stringContaining('removed 1 image, 1 tag'),
    });
    const listed = await command(['list', '--pattern', 'cli/', '--short-digest', '--header']);
    expect(listed.out.split('\n').map((line) => line.split(/\s+/)[0])).toEqual([
      'REFERENCE',
      `${upstream.host}/cli/new:v1`,
      '',
    ]);
    await aged('cli/new', 15);
    const held = (await rest<{ content: { blobBytes: number } }>('GET', '/stats')).body.content.blobBytes;
    expect(await command(['prune', '--to-size', String(held - 1), '--yes'])).toMatchObject({ code: 0 });
    expect(await tags('cli/')).toEqual([]);
    expect(await command(['prune', '--pattern', 'cli/', '--yes'])).toMatchObject({
      code: 0,
      out: 'nothing to remove\n',
    });
    expect(await command(['prune', '--count', 'many', '--yes'])).toMatchObject({ code: 2 });
  });

  it('asks on a terminal: no, Ctrl-D and Ctrl-C remove nothing', async () => {
    await loaded('asked/app', 'v1', 45);
    const answered = async (keys: string) => {
      const args = ['prune', '--pattern', 'asked/', '--server', admin];
      const { code, shown } = await ociregistryOnTerminal(args, { at: /\[y\/N\] /, keys });
      expect(shown).toContain(`${upstream.host}/asked/app:v1`);
      return [code, shown.split('[y/N] ').at(-1), (await tags('asked/')).length];
    };
    expect(await answered('n\n')).toEqual([0, expect.stringContaining('nothing was removed'), 1]);
    expect(await answered('\n')).toEqual([0, expect.stringContaining('nothing was removed'), 1]);
    expect(await answered('\x04')).toEqual([0, expect.stringContaining('nothing was removed'), 1]);
    expect(await answered('\x03')).toEqual([130, expect.not.stringContaining('removed'), 1]);
    expect(await answered('Yes\n')).toEqual([0, expect.stringContaining('removed 1 image, 1 tag'), 0]);
    const { items } = (await rest<{ items: Job[] }>('GET', '/prune?limit=1000')).body;
    expect(items.filter(({ state }) => state === 'planned')).toEqual([]);
  });

  it('leaves what is kept and pinned', async () => {
    await added('team/kept/app', 'v1', 50);
    await added('team/pinned', 'v2', 51);
    await added('rules/a/b', 'v3', 52);
    await added('rules/a/b', 'edge', 53);
    const { planned } = await prune({ pattern: 'kept|pinned|rules' });
    expect(planned).toMatchObject({ protected: 3 });
    expect(await tags('kept|pinned|rules')).toEqual(['rules/a/b:v3', 'team/kept/app:v1', 'team/pinned:v2']);
  });

  it('serves or fetches again the layers of a manifest that was served before a prune (C61)', async () => {
    const image = await added('race/app', 'v1', 60, [3000, 70_000]);
    for (const gateway of system.gateways.keys()) {
      await pull('race/app', 'v1', image);
      await fetched('race/app/manifests/v1', gateway);
      expect(await prune({ pattern: 'race/app' })).toMatchObject({ removed: { images: 1, blobs: 3 } });
      for (const { digest } of [image.images[0]!.config, ...image.images[0]!.layers])
        expect(digestOfBody((await fetched(`race/app/blobs/${digest}`, gateway)).body)).toBe(digest);
    }
  });

  it('lets an open stream finish (C63)', async () => {
    const image = await added('stream/app', 'v1', 61, [12 * MB]);
    const { digest } = image.images[0]!.layers[0]!;
    const pause = new Deferred();
    const begun = new Deferred();
    const reading = get(at(`stream/app/blobs/${digest}`), { pause: pause.promise, onBytes: () => begun.resolve() });
    await begun.promise;
    expect(await prune({ pattern: 'stream/app' })).toMatchObject({ state: 'done', removed: { images: 1 } });
    // MinIO keeps what is being read, if its reader is slow enough; a later sweep finds it.
    if (name === 'standalone') expect(await system.stored.has(digest)).toBe(false);
    pause.resolve();
    const answer = await reading;
    expect([answer.status, answer.cut, digestOfBody(answer.body)]).toEqual([200, false, digest]);
  });

  it('never fails a pull, whatever is pruned meanwhile (seeded; PRUNE_SECONDS for longer)', async () => {
    const result = await pruneAgainstPulls({
      upstream,
      gateways: system.gateways.map(({ url }) => url),
      prune: async (rule) => void (await rest('POST', '/prune', { all: true, ...rule })),
      seed: Number(process.env.PRUNE_SEED ?? 1),
      seconds: Number(process.env.PRUNE_SECONDS ?? 10),
    });
    expect(result.failures).toEqual([]);
    expect(result.pulls).toBeGreaterThan(10);
    expect(result.prunes).toBeGreaterThan(2);
  });

  it('goes on with a prune whose process was lost, and drops blobs that one left', async () => {
    const image = await loaded('lost/app', 'v1', 70);
    const { body } = await rest('POST', '/prune/plan', { pattern: 'lost/app' });
    await sql.query(`UPDATE prune_jobs SET state = 'running' WHERE id = $1`, [body.id]);
    expect(await ended(body.id)).toMatchObject({ state: 'done', removed: { images: 1, blobs: 2 } });
    expect(await system.stored.has(image.images[0]!.config.digest)).toBe(false);
    // As after a death between the two: nobody holds them, their bytes are there.
    const left = await added('lost/other', 'v1', 71);
    await sql.query(
      `DELETE FROM repository_blobs USING repositories r WHERE r.id = repository_id AND r.path = 'lost/other'`,
    );
    await sql.query(`UPDATE duties SET done_at = NULL WHERE name = 'strays'`);
    await eventually(
      async () => expect(await system.stored.has(left.images[0]!.config.digest)).toBe(false),
      BY_ITSELF_MS,
    );
    await pull('lost/other', 'v1', left);
  });

  it('removes by itself what was not used for long, what is over the budget, and old records', async () => {
    await loaded('auto/old', 'v1', 80);
    await aged('auto/old', 31);
    await sql.query(
      `UPDATE pulls SET changed_at = now() - interval '8 days' WHERE target->'repository'->>'path' = 'auto/old'`,
    );
    await sql.query(`UPDATE duties SET done_at = NULL WHERE name = 'retention'`);
    for (let n = 0; n < 4; n++) await added(`auto/big${n}`, 'v1', 81 + n, [18 * MB]);
    await eventually(async () => expect(await tags('auto/old')).toEqual([]), BY_ITSELF_MS);
    await eventually(async () => {
      const { rows } = await sql.query(`SELECT key FROM pulls WHERE changed_at < now() - interval '7 days'`);
      expect(rows).toEqual([]);
    }, BY_ITSELF_MS);
    await eventually(async () => {
      const { content } = (await rest<{ content: { blobBytes: number } }>('GET', '/stats')).body;
      expect(content.blobBytes).toBeLessThan(60 * MB);
    }, BY_ITSELF_MS);
    // The least recently used went first.
    expect(await tags('auto/big')).toContain('auto/big3:v1');
    const jobs = (await rest<{ items: { cause: string }[] }>('GET', '/prune?limit=1000')).body.items;
    expect(new Set(jobs.map(({ cause }) => cause))).toEqual(new Set(['request', 'schedule', 'size']));
  });

  it('clears the spool of downloads that a dead process left', async () => {
    const server = system.pullers[0]!;
    const file = join(system.spools[0]!, `sha256-${'a'.repeat(64)}.1-abcdef`);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, 'left');
    utimesSync(file, new Date(0), new Date(0));
    await server.stop('SIGKILL');
    await server.start();
    await eventually(async () => expect(spoolFiles(system.spools[0]!)).not.toContain(file.split('/').at(-1)));
  });

  // A distributed server is no command's to start.
  if (name === 'standalone')
    it('works with no server running', async () => {
      await added('alone/app', 'v1', 90);
      await system.gateways[0]!.stop();
      const env = { OCIREGISTRY_DATA_DIR: dirname(dirname(system.spools[0]!)), OCIREGISTRY_CACHE_PROTECT: '0s' };
      const alone = (args: string[]) => ociregistry(args, { env: { ...env, OCIREGISTRY_ADMIN_PORT: '1' } });
      expect(await alone(['list', '--pattern', 'alone/'])).toMatchObject({
        code: 0,
        out: expect.stringContaining(`${upstream.host}/alone/app:v1`),
      });
      expect(await alone(['prune', '--pattern', 'alone/', '--yes', '--all'])).toMatchObject({
        code: 0,
        err: '',
        out: expect.stringMatching(/^removed 1 image, 1 tag/),
      });
      expect(await alone(['list', '--pattern', 'alone/', '--output', 'yaml'])).toMatchObject({ code: 0, out: '[]\n' });
      await system.gateways[0]!.start();
    });
});
