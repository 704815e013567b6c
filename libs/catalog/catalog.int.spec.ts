import { type PostgresService, startPostgres } from '../../test/support/services/index.js';
import { connectCatalog, migrate } from './adapters.js';
import { catalogContract } from './catalog.contract.js';
import type { PostgresCatalog } from './postgres/catalog.js';

jest.setTimeout(120_000);

describe.each([{ version: 15 }, { version: 18 }] as const)('catalog on PostgreSQL $version', ({ version }) => {
  let postgres: PostgresService;

  beforeAll(async () => {
    postgres = await startPostgres({ version });
    await migrate({ url: postgres.url });
  });
  afterAll(() => postgres?.stop());

  describe.each([{ preparedStatements: true }, { preparedStatements: false }])('%o', ({ preparedStatements }) => {
    let catalog: PostgresCatalog;
    beforeAll(async () => {
      catalog = await connectCatalog({ url: postgres.url, preparedStatements });
    });
    afterAll(() => catalog?.close());

    catalogContract(() => catalog);
  });
});
