import { Client } from 'pg';
import { type PostgresService, startPostgres } from '../../test/support/services/index.js';
import { connectCatalog, migrate } from './adapters.js';
import { child, DAY, digest, exactReferences, layer, manifest, pattern, repo } from './exact-references.contract.js';
import type { Catalog, Edge, PruneProtection, PruneRule } from './index.js';

jest.setTimeout(300_000);

const UNPROTECTED: PruneProtection = { servedWithin: 0, keep: [], pins: [] };

describe.each([{ version: 15 }, { version: 18 }] as const)('pruning on PostgreSQL $version', ({ version }) => {
  let postgres: PostgresService;
  let catalog: Catalog;
  let sql: Client;
  beforeAll(async () => {
    postgres = await startPostgres({ version });
    await migrate({ url: postgres.url });
    // As behind a pooler in transaction mode.
    catalog = await connectCatalog({ url: postgres.url, preparedStatements: false });
    sql = new Client({ connectionString: postgres.url });
    await sql.connect();
  });
  afterAll(async () => {
    await sql?.end();
    await catalog?.close();
    await postgres?.stop();
  });
  const clear = async () => {
    for (const table of ['tags', 'repository_manifests', 'manifests', 'blobs', 'prune_jobs'])
      await sql.query(`DELETE FROM ${table}`);
  };
  beforeEach(clear);

  const names = async (table: 'tags' | 'repository_manifests' | 'repository_blobs') => {
    const content = table === 'tags' ? 'h.name' : `encode(c.digest, 'hex')`;
    const id = table === 'repository_blobs' ? 'blob_id' : 'manifest_id';
    const of = table === 'repository_blobs' ? 'blobs' : 'manifests';
    const { rows } = await sql.query(
      `SELECT r.path || ' ' || ${content} AS name FROM ${table} h JOIN repositories r ON r.id = h.repository_id
       JOIN ${of} c ON c.id = h.${id} ORDER BY 1`,
    );
    return rows.map(({ name }) => String(name));
  };
  const aged = (path: string, name: string, days: number) =>
    sql.query(
      `UPDATE repository_manifests h SET last_access = now() - $3 * interval '1 day', stored_at = now() - $3 * interval '1 day'
       FROM repositories r, manifests m WHERE r.id = h.repository_id AND m.id = h.manifest_id AND r.path = $1 AND m.digest = $2`,
      [path, Buffer.from(digest(name).slice(7), 'hex'), days],
    );
  const stored = async (path: string, name: string, edges: readonly Edge[], tags: readonly string[] = []) => {
    for (const tag of tags.length > 0 ? tags : [undefined])
      await catalog.storeManifest(repo(path), manifest(name, edges), tag);
    for (const edge of edges) if (edge.kind !== 'manifest') await catalog.storeBlob(repo(path), edge.child, edge.size);
  };
  const plan = (rule: PruneRule, protection: Partial<PruneProtection> = {}) =>
    catalog.pruning.plan(rule, { ...UNPROTECTED, ...protection }, 'request');
  /** Carries the plan out to its end. */
  const apply = async (id: string, limit = 3, servedWithin = 0) => {
    expect(await catalog.pruning.turn(id, 'running')).toBe(true);
    for (;;) {
      const step = await catalog.pruning.step(id, limit, servedWithin);
      if (!step) break;
      await catalog.pruning.dropUnheld(await catalog.pruning.unheld(step.unheld), id);
    }
    expect(await catalog.pruning.turn(id, 'done')).toBe(true);
    return (await catalog.pruning.find(id))!;
  };

  it('takes what was not accessed, or stored, since; a layer that another image needs stays', async () => {
    await stored('team/old', 'old', [layer('base'), layer('own')], ['v1', 'v2']);
    await stored('team/new', 'new', [layer('base')], ['v1']);
    await aged('team/old', 'old', 40);
    const since = new Date(Date.now() - 30 * DAY);
    for (const rule of [{ accessedBefore: since }, { storedBefore: since }]) {
      const { planned } = await plan(rule);
      expect(planned).toEqual({
        images: 1,
        tags: 2,
        manifests: 1,
        blobs: 1,
        bytes: 110,
        protected: 0,
        everything: false,
      });
    }
    const job = await plan({ accessedBefore: since });
    expect((await catalog.pruning.items(job.id, 10)).items).toMatchObject([
      { repository: repo('team/old'), digest: digest('old'), tags: ['v1', 'v2'], whole: true },
    ]);
    const { removed, planned, state } = await apply(job.id);
    expect([state, removed]).toEqual(['done', { images: 1, tags: 2, manifests: 1, blobs: 1, bytes: 110 }]);
    expect(planned).toMatchObject(removed);
    expect(await names('repository_manifests')).toEqual([`team/new ${digest('new').slice(7)}`]);
    expect(await names('repository_blobs')).toEqual([`team/new ${digest('base').slice(7)}`]);
    expect(await catalog.counts()).toMatchObject({
      manifests: 1,
      blobs: 1,
      tags: 1,
      blobBytes: 100,
      manifestBytes: 10,
    });
  });

  it('takes by pattern single tags, and the image with the last of them', async () => {
    await stored('team/app', 'one', [layer('a')], ['v1', 'latest']);
    await stored('team/app', 'two', [layer('b')], ['v2']);
    const job = await plan(pattern('app:v\\d'));
    expect(job.planned).toMatchObject({ images: 1, tags: 2, manifests: 1, blobs: 1, everything: false });
    await apply(job.id);
    expect(await names('tags')).toEqual(['team/app latest']);
    expect((await plan(pattern('glob:docker.io/team/*:latest'))).planned).toMatchObject({
      images: 1,
      everything: true,
    });
    expect((await plan(pattern('nothing,else'))).planned).toMatchObject({ images: 0, tags: 0, everything: false });
  });

  it('takes an index with its children, but no child that a tag or another index names', async () => {
    await stored('multi', 'arm', [layer('arm')]);
    await stored('multi', 'amd', [layer('amd')], ['v1-amd64']);
    await stored('multi', 'shared', [layer('shared')]);
    await stored('multi', 'index', [child('arm'), child('amd'), child('shared')], ['v1']);
    await stored('multi', 'other', [child('shared')], ['v2']);
    const only = await plan(pattern(':v1-amd64$'));
    expect(only.planned).toMatchObject({ tags: 1, manifests: 0, blobs: 0 });
    const job = await plan(pattern(':v1$'));
    expect(job.planned).toMatchObject({ images: 1, tags: 1, manifests: 2, blobs: 1 });
    const { removed } = await apply(job.id);
    expect(removed).toMatchObject({ images: 1, tags: 1, manifests: 2, blobs: 1 });
    expect((await names('repository_manifests')).map((name) => name.slice(6))).toEqual(
      ['amd', 'shared', 'other'].map((name) => digest(name).slice(7)).sort(),
    );
    // Both at once: the child goes with the last that names it, in whatever order they are taken.
    const both = await plan(pattern(':v'));
    expect(both.planned).toMatchObject({ images: 2, manifests: 3, blobs: 2, everything: true });
    expect((await apply(both.id, 1)).removed).toMatchObject({ manifests: 3, blobs: 2 });
  });

  it('protects what is kept, pinned or was served lately, with what it refers to', async () => {
    await stored('p/kept', 'kept', [layer('1')], ['v1']);
    await stored('p/pinned', 'pinned', [layer('2')], ['v1', 'v2']);
    await stored('p/index', 'child', [layer('3')]);
    await stored('p/index', 'index', [child('child')], ['v1']);
    await stored('p/plain', 'plain', [layer('4')], ['v1']);
    for (const [path, name] of [
      ['p/kept', 'kept'],
      ['p/pinned', 'pinned'],
      ['p/index', 'index'],
      ['p/plain', 'plain'],
    ] as const)
      await aged(path, name, 1);
    const protection = {
      servedWithin: 3_600_000,
      keep: pattern('glob:docker.io/p/kept:*').patterns,
      pins: [
        { expression: '^docker\\.io/p/pinned:v2$', pin: false },
        { expression: '^docker\\.io/p/pinned:', pin: true },
      ],
    };
    const all = await plan({}, protection);
    expect(all.planned).toMatchObject({ images: 1, protected: 3, everything: false });
    expect((await catalog.pruning.items(all.id, 10)).items).toMatchObject([{ repository: repo('p/plain') }]);
    const byTag = await plan(pattern('pinned'), protection);
    expect((await catalog.pruning.items(byTag.id, 10)).items).toMatchObject([{ tags: ['v2'], whole: false }]);
  });

  it('leaves what was accessed or tagged after the plan', async () => {
    await stored('r/a', 'a', [layer('a')], ['v1']);
    await stored('r/b', 'b', [layer('b')], ['v1']);
    await stored('r/c', 'c', [layer('c')], ['v1']);
    const job = await plan(pattern('.'));
    await catalog.touch([{ repository: repo('r/a'), digest: digest('a'), at: new Date(Date.now() + 1000) }]);
    await catalog.confirmTag(repo('r/b'), 'v2', digest('b'));
    const { removed } = await apply(job.id);
    expect(removed).toMatchObject({ images: 1, tags: 2, manifests: 1, blobs: 1 });
    expect(await names('tags')).toEqual(['r/a v1', 'r/b v2']);
    expect(await names('repository_blobs')).toHaveLength(2);
  });

  it('takes what was accessed before the plan, although that was told after it', async () => {
    await stored('r/a', 'a', [layer('a')], ['v1']);
    await aged('r/a', 'a', 1);
    const at = new Date();
    const job = await plan(pattern('.'));
    await catalog.touch([{ repository: repo('r/a'), digest: digest('a'), at }]);
    expect((await apply(job.id)).removed).toMatchObject({ images: 1 });
  });

  it('fits a budget: least recently used first, shared layers counted once, useless removals left out', async () => {
    // Of the oldest nothing would be freed, since the newest needs all of it.
    await stored('s/oldest', 'oldest', [layer('x', 1000)], ['v1']);
    await stored('s/older', 'older', [layer('base', 500), layer('y', 200)], ['v1']);
    await stored('s/old', 'old', [layer('base', 500), layer('z', 300)], ['v1']);
    await stored('s/newest', 'newest', [layer('x', 1000)], ['v1']);
    for (const [name, days] of [
      ['oldest', 9],
      ['older', 8],
      ['old', 7],
      ['newest', 1],
    ] as const)
      await aged(`s/${name}`, name, days);
    const goes = async (toSize: number, protection: Partial<PruneProtection> = {}) => {
      const { id, planned } = await plan({ toSize }, protection);
      const { items } = await catalog.pruning.items(id, 10);
      return [items.map(({ repository }) => repository.path.slice(2)).sort(), planned.blobs, planned.above];
    };
    expect(await goes(2000)).toEqual([[], 0, 0]);
    expect(await goes(1999)).toEqual([['older'], 1, 0]);
    expect(await goes(1800)).toEqual([['older'], 1, 0]);
    expect(await goes(1799)).toEqual([['old', 'older'], 3, 0]);
    expect(await goes(999)).toEqual([['newest', 'old', 'older', 'oldest'], 4, 0]);
    expect(await goes(999, { keep: ['newest'] })).toEqual([['old', 'older'], 3, 1]);
    expect(await goes(0, { keep: ['s/'] })).toEqual([[], 0, 2000]);
  });

  it('looks further for a budget when all that was used least is kept', async () => {
    // More than it looks at first.
    await sql.query(`
      WITH r AS (INSERT INTO repositories (upstream, path) VALUES ('docker.io', 'kept') RETURNING id),
        m AS (INSERT INTO manifests (digest, media_type, size, bytes)
          SELECT sha256(n::text::bytea), '', 1, '' FROM generate_series(1, 12000) n RETURNING id)
      INSERT INTO repository_manifests (repository_id, manifest_id, stored_at, last_access)
      SELECT r.id, m.id, now(), now() - interval '30 days' + m.id * interval '1 second' FROM r, m`);
    await stored('s/old', 'old', [layer('y', 200)], ['v1']);
    await stored('s/new', 'new', [layer('z', 300)], ['v1']);
    await aged('s/old', 'old', 2);
    await aged('s/new', 'new', 1);
    const { id, planned } = await plan({ toSize: 400 }, { keep: ['/kept'] });
    expect(planned).toMatchObject({ images: 1, blobs: 1, above: 0, protected: 12000 });
    expect((await catalog.pruning.items(id, 10)).items).toEqual([
      expect.objectContaining({ repository: repo('s/old') }),
    ]);
    expect((await plan({ toSize: 0 }, { keep: ['/kept', 'new'] })).planned).toMatchObject({ blobs: 1, above: 300 });
  });

  it('refuses an expression that is none, and stops the matching after a time', async () => {
    await stored('x/a', 'a', [], ['v1']);
    await expect(plan({ patterns: ['('] })).rejects.toMatchObject({ name: 'InvalidPattern' });
    const hasty = await connectCatalog({ url: postgres.url, statementTimeout: 50 });
    try {
      await sql.query('BEGIN');
      await sql.query('LOCK TABLE tags IN ACCESS EXCLUSIVE MODE');
      await expect(hasty.pruning.plan(pattern('a'), UNPROTECTED, 'request')).rejects.toMatchObject({
        reason: 'UNAVAILABLE',
        message: 'the question took too long; ask for less',
      });
    } finally {
      await sql.query('COMMIT');
      await hasty.close();
    }
    expect(await catalog.pruning.list(10)).toEqual([]);
  });

  it('is cancelled between two steps, lists its jobs and forgets them', async () => {
    for (const name of ['a', 'b', 'c']) await stored(`j/${name}`, name, [layer(name)], ['v1']);
    const { id } = await plan({});
    expect(await catalog.pruning.step(id, 1, 0)).toBeUndefined();
    expect(await catalog.pruning.turn(id, 'running')).toBe(true);
    expect(await catalog.pruning.turn(id, 'running')).toBe(false);
    expect((await catalog.pruning.running())?.id).toBe(id);
    expect((await catalog.pruning.step(id, 1, 0))?.unheld).toEqual([digest('a')]);
    expect(await catalog.pruning.turn(id, 'cancelled')).toBe(true);
    expect(await catalog.pruning.step(id, 1, 0)).toBeUndefined();
    expect(await names('tags')).toHaveLength(2);
    const later = await plan({});
    expect((await catalog.pruning.list(1)).map((job) => job.id)).toEqual([later.id]);
    expect((await catalog.pruning.list(5, later.id)).map((job) => [job.id, job.state])).toEqual([[id, 'cancelled']]);
    expect(await catalog.pruning.find('nonsense')).toBeUndefined();
    expect([await catalog.pruning.expire(3_600_000), await catalog.pruning.expire(-1)]).toEqual([0, 2]);
    // What the first step left without a holder is found again.
    expect(await catalog.pruning.strays(3_600_000, 10)).toEqual([digest('a')]);
  });

  it('lets a repository forget blobs that no manifest of it needs', async () => {
    await stored('t/a', 'a', [layer('needed')], ['v1']);
    await catalog.storeBlob(repo('t/a'), digest('alone'), 5);
    await catalog.storeBlob(repo('t/b'), digest('needed'), 100);
    expect(await catalog.pruning.strays(3_600_000, 10)).toEqual([]);
    expect(await names('repository_blobs')).toHaveLength(3);
    expect(await catalog.pruning.strays(0, 10)).toEqual([digest('alone')]);
    expect(await names('repository_blobs')).toEqual([`t/a ${digest('needed').slice(7)}`]);
  });

  it('holds bytes that no manifest refers to yet, until they are let go', async () => {
    await stored('h/a', 'a', [layer('x', 7)], ['v1']);
    await sql.query(`UPDATE blobs SET last_access = now() - interval '2 days', stored_at = now() - interval '2 days'`);
    for (const name of ['one', 'two']) await catalog.pruning.hold(name, digest('x'), 7);
    const { removed } = await apply((await plan({})).id);
    expect(removed).toMatchObject({ images: 1, blobs: 0 });
    expect(await catalog.pruning.strays(86_400_000, 10)).toEqual([]);
    await catalog.pruning.letGo('one');
    expect(await catalog.pruning.unheld([digest('x')])).toEqual([]);
    await catalog.pruning.letGo('two');
    expect(await catalog.pruning.unheld([digest('x')])).toEqual([digest('x')]);
    const { rows } = await sql.query(`SELECT FROM repositories WHERE path IN ('one', 'two')`);
    expect(rows).toEqual([]);
  });

  exactReferences(() => ({ catalog, sql, clear, names, stored, aged, plan, apply }));
});
