import fc from 'fast-check';
import { Client } from 'pg';
import { connectCatalog, migrate } from '#catalog/adapters';
import { leaseKey } from '../../libs/registry/pulls/lease-key.js';
import { type PostgresService, startPostgres } from '../support/services/index.js';
import { drain, type Model, pullCommands, type Real } from './commands.js';
import { System } from './system.js';

jest.setTimeout(300_000);

/** Row, message and signals together, as docs/pulls.md draws them: gateways, pullers and bus are the product's own. */
describe('a pull', () => {
  let postgres: PostgresService;
  let catalog: Awaited<ReturnType<typeof connectCatalog>>;
  let admin: Client;
  let seed = 0;

  beforeAll(async () => {
    postgres = await startPostgres();
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

  const lapse = async (key: string) => {
    await admin.query(`UPDATE pulls SET lease_until = clock_timestamp() - interval '1 second' WHERE key = $1`, [key]);
  };

  it('ends well for every client, whatever is asked, delivered, killed, late or lost, and in which order', async () => {
    await fc.assert(
      fc.asyncProperty(pullCommands, async (commands) => {
        // A blob of its own for every run, so that the rows of earlier ones are not in its way.
        const system = await System.start(catalog, ++seed);
        const model: Model = { fetches: 0, held: false, bad: new Set() };
        const real: Real = { system, lapse, outcomes: [], downloads: [] };
        try {
          await fc.asyncModelRun(() => ({ model, real }), commands);
          await drain(model, real);
          expect(real.outcomes).toHaveLength(real.downloads.length);
          expect(system.gateways.map(({ waits }) => waits.size)).toEqual([0, 0]);
          // Whoever took over and died after the one before him had brought the blob leaves a row that nobody claims again.
          const before = await system.row(leaseKey(system.target));
          if (before?.state === 'running') expect(await system.held()).toBe(true);
          await catalog.pulls.endLost(0);
          const after = await system.row(leaseKey(system.target));
          expect(after?.state).toBe(before && 'finished');
          if (before?.state === 'running') expect(after?.failure).toMatchObject({ reason: 'UNAVAILABLE' });
          expect(system.spool()).toEqual([]);
        } finally {
          await system.close();
        }
      }),
      { numRuns: Number(process.env.MODEL_RUNS ?? 60) },
    );
  });
});
