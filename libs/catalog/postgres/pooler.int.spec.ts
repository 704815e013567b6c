import { type PostgresService, startPgBouncer, startPostgres } from '../../../test/support/services/index.js';
import { connectCatalog, migrate } from '../adapters.js';
import { catalogContract } from '../catalog.contract.js';
import { listsContract } from '../lists.contract.js';
import type { PostgresCatalog } from './catalog.js';

jest.setTimeout(120_000);

/** `metadata.pooler`: every transaction may be on another of the pooler's connections. */
describe('behind a pooler in transaction mode', () => {
  let postgres: PostgresService;
  let pooler: Awaited<ReturnType<typeof startPgBouncer>>;
  let catalogs: PostgresCatalog[];

  beforeAll(async () => {
    postgres = await startPostgres();
    pooler = await startPgBouncer(postgres);
    const { url } = pooler;
    const applied = await Promise.all(Array.from({ length: 10 }, () => migrate({ url })));
    // One of the ten that start at once does the work, the others find it done.
    expect(applied.filter((names) => names.length > 0)).toHaveLength(1);
    catalogs = await Promise.all([0, 1, 2].map(() => connectCatalog({ url, preparedStatements: false })));
  });
  afterAll(async () => {
    await Promise.all(catalogs?.map((catalog) => catalog.close()) ?? []);
    await pooler?.stop();
    await postgres?.stop();
  });

  // Each call by another process, so that nothing that one left behind is of use to it.
  let turn = 0;
  const next = () => catalogs[turn++ % catalogs.length] as PostgresCatalog;
  catalogContract(next);
  listsContract(next);

  it('refuses what is of a session, and says so', async () => {
    await expect(connectCatalog({ url: pooler.url })).rejects.toMatchObject({ reason: 'UNAVAILABLE' });
    expect(await pooler.logs()).toMatch(/unsupported startup parameter/);
  });
});
