import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { type PostgresService, startPostgres } from '../../../test/support/services/index.js';
import { connectCatalog, migrate } from '../adapters.js';
import { migrations } from '../migrations/index.js';
import { facts, lists, lookups, pulls } from '../statements/index.js';
import { Connection } from './connection.js';

jest.setTimeout(120_000);

const dumps = join(__dirname, '..', 'migrations', 'dumps');
const names = migrations.map((Migration) => new Migration().name);

async function sql<Row extends object>(url: string, text: string): Promise<Row[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const result = await client.query(text);
    return result.rows;
  } finally {
    await client.end();
  }
}

describe.each([{ version: 15 }, { version: 18 }] as const)('schema on PostgreSQL $version', ({ version }) => {
  let postgres: PostgresService;
  beforeAll(async () => {
    postgres = await startPostgres({ version });
  });
  afterAll(() => postgres?.stop());

  it('is made once by ten that start at the same time', async () => {
    const url = await postgres.createDatabase('ten');
    const done = await Promise.all(Array.from({ length: 10 }, () => migrate({ url })));
    expect(done.flat()).toEqual(names);
    expect(await sql(url, 'SELECT name FROM migrations ORDER BY id')).toEqual(names.map((name) => ({ name })));
    expect(await migrate({ url })).toEqual([]);
  });

  it('is what the entities say', async () => {
    const url = await postgres.createDatabase('entities');
    await migrate({ url });
    const connection = await Connection.open({ url });
    try {
      const changes = await connection.dataSource.driver.createSchemaBuilder().log();
      expect(changes.upQueries.map((query) => query.query)).toEqual([]);
    } finally {
      await connection.close();
    }
  });

  it('leaves nothing behind when a migration fails', async () => {
    const url = await postgres.createDatabase('half');
    await sql(url, 'CREATE TABLE pulls (nothing text)');
    await expect(migrate({ url })).rejects.toThrow(/pulls/);
    const tables = await sql(url, `SELECT tablename FROM pg_tables WHERE schemaname = 'public'`);
    expect(tables).toEqual([{ tablename: 'pulls' }]);
  });

  it('undoes its migrations', async () => {
    const url = await postgres.createDatabase('undo');
    await migrate({ url });
    const connection = await Connection.open({ url });
    try {
      const runner = connection.dataSource.createQueryRunner();
      for (const Migration of [...migrations].reverse()) await new Migration().down(runner);
      await runner.release();
    } finally {
      await connection.close();
    }
    const tables = await sql(url, `SELECT tablename FROM pg_tables WHERE schemaname = 'public'`);
    expect(tables).toEqual([{ tablename: 'migrations' }]);
  });

  it('has a dump of every released state', () => {
    const files = readdirSync(dumps).filter((file) => /^\d{4}\.sql$/.test(file));
    expect(files.sort()).toEqual(names.map((_, n) => `${String(n + 1).padStart(4, '0')}.sql`));
  });

  it.each(names.map((name, n) => ({ name, file: `${String(n + 1).padStart(4, '0')}.sql` })))(
    'reads what $name left after moving it forward',
    async ({ file }) => {
      const url = await postgres.createDatabase(`dump_${file.slice(0, 4)}`);
      await sql(url, readFileSync(join(dumps, file), 'utf8'));
      await migrate({ url });
      const catalog = await connectCatalog({ url });
      try {
        const repository = { upstream: 'docker.io', path: 'library/alpine' };
        const tag = await catalog.findTag(repository, 'latest');
        expect(tag?.manifest.mediaType).toBe('application/vnd.oci.image.index.v1+json');
        const index = JSON.parse(String(tag?.manifest.bytes));
        const child = await catalog.findManifest(repository, index.manifests[0].digest);
        const image = JSON.parse(String(child?.bytes));
        for (const { digest, size } of [image.config, ...image.layers]) {
          expect(await catalog.findBlob(repository, digest)).toEqual({ size });
          expect((await catalog.knowBlob(repository, digest)).described).toBe(size);
        }
        expect(await catalog.counts()).toMatchObject({ repositories: 2, manifests: 3, blobs: 2, tags: 2 });
        expect(await catalog.pulls.find('a'.repeat(40))).toMatchObject({ state: 'running', worker: 'puller-1' });
        expect(await catalog.pulls.find('b'.repeat(40))).toMatchObject({ failure: { reason: 'MANIFEST_UNKNOWN' } });
        const history = await sql(url, 'SELECT name, digest IS NULL AS removed FROM tag_history ORDER BY id');
        expect(history).toContainEqual({ name: 'gone', removed: true });
        const listed = names.indexOf('Lists1764000000003') < Number(file.slice(0, 4)) ? ['3.22', 'latest'] : undefined;
        expect((await catalog.findTags(repository)).listed?.entries).toEqual(listed);
        // What is written after the migration lives beside it.
        expect(await catalog.confirmTag(repository, 'new', tag?.digest ?? 'sha256:')).toBe(true);
      } finally {
        await catalog.close();
      }
    },
  );

  it.each([{ tables: 'large', sample: 'plans.sql' }, { tables: 'small' }])(
    'answers every hot statement from indexes, planned on $tables tables',
    async ({ tables, sample }) => {
      const url = await postgres.createDatabase(`plans_${tables}`);
      await migrate({ url });
      await sql(url, sample ? readFileSync(join(__dirname, sample), 'utf8') : 'ANALYZE');
      const lookupsAndFacts = Object.values({ ...lookups, ...facts, ...lists, ...pulls });
      const hot = lookupsAndFacts.filter(
        ({ name, replan }) => !/counts|ping|expire|listRepositories|LostPulls/.test(name) && (sample || !replan),
      );
      // With the settings of a real connection; one, so that they are prepared and explained in the same session.
      const connection = await Connection.open({ url, poolSize: 1 });
      const query = (text: string): Promise<Array<Record<string, string>>> => connection.dataSource.query(text);
      try {
        if (sample) await query('SET enable_seqscan = on');
        // The plan that a prepared statement ends up with: made without looking at the values.
        await query('SET plan_cache_mode = force_generic_plan');
        for (const { name, text } of hot) {
          await query(`PREPARE "${name}" AS ${text}`);
          const [row] = await query(
            `SELECT cardinality(parameter_types) AS n FROM pg_prepared_statements WHERE name = '${name}'`,
          );
          const values = Array.from({ length: Number(row?.n) }, () => 'NULL').join(', ');
          const given = values && `(${values})`;
          const plan = (await query(`EXPLAIN (COSTS OFF) EXECUTE "${name}"${given}`)).map((line) => line['QUERY PLAN']);
          expect({ name, scans: plan.filter((line) => line?.includes('Seq Scan')) }).toEqual({ name, scans: [] });
        }
        expect(hot.length).toBeGreaterThan(sample ? 15 : 8);
      } finally {
        await connection.close();
      }
    },
  );
});
