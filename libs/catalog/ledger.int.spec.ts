import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { Client } from 'pg';
import { type PostgresService, startPostgres } from '../../test/support/services/index.js';
import { connectCatalog, migrate } from './adapters.js';
import { ledgerContract } from './ledger.contract.js';
import { ledgerCommands, type Model, type Real } from './ledger-model.contract.js';
import type { PostgresCatalog } from './postgres/catalog.js';

jest.setTimeout(120_000);

describe.each([{ version: 15 }, { version: 18 }] as const)('pull ledger on PostgreSQL $version', ({ version }) => {
  let postgres: PostgresService;
  let catalog: PostgresCatalog;
  let admin: Client;

  beforeAll(async () => {
    postgres = await startPostgres({ version });
    await migrate({ url: postgres.url });
    catalog = await connectCatalog({ url: postgres.url });
    admin = new Client({ connectionString: postgres.url });
    await admin.connect();
  });
  afterAll(async () => {
    await admin?.end();
    await catalog?.close();
    await postgres?.stop();
  });

  ledgerContract(() => catalog);

  it('does as the model does, in any order of claims, renewals, lapses, finishes and clean-ups', async () => {
    const lapse = async (key: string) => {
      await admin.query(`UPDATE pulls SET lease_until = clock_timestamp() - interval '1 second' WHERE key = $1`, [key]);
    };
    await fc.assert(
      fc.asyncProperty(ledgerCommands, async (commands) => {
        const setup = (): { model: Model; real: Real } => ({
          model: { refs: [] },
          real: { ledger: catalog.pulls, key: randomUUID(), lapse },
        });
        await fc.asyncModelRun(setup, commands);
      }),
      { numRuns: 200 },
    );
  });
});
