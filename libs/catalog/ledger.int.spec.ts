import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { Client } from 'pg';
import { type PostgresService, startPostgres } from '../../test/support/services/index.js';
import { connectCatalog, migrate } from './adapters.js';
import { claimedRef, ledgerContract } from './ledger.contract.js';
import { ledgerCommands, type Model, type Real } from './ledger-model.contract.js';
import type { PostgresCatalog } from './postgres/catalog.js';

jest.setTimeout(120_000);

const target = { kind: 'tags', repository: { upstream: 'registry.example', path: 'a/b' } } as const;
const failure = { reason: 'UPSTREAM_ERROR', message: 'x', origin: 'upstream', retryable: true } as const;

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

  describe('of a process that is alone with its database', () => {
    let alone: PostgresCatalog;

    const open = () => connectCatalog({ url: postgres.url, alone: true });
    beforeAll(async () => {
      alone = await open();
    });
    afterAll(async () => {
      await alone?.close();
    });

    ledgerContract(() => alone);

    it('ends what an earlier process was working on and nobody has asked for since', async () => {
      const dead = await open();
      const key = randomUUID();
      await dead.pulls.claim(key, target, 'w', 0);
      await dead.close();
      const next = await open();
      expect(await next.pulls.endLost(0)).toBeGreaterThan(0);
      expect(await next.pulls.find(key)).toMatchObject({ state: 'finished', failure: { reason: 'UNAVAILABLE' } });
      expect(await next.pulls.claim(key, target, 'w', 0)).toMatchObject({ ref: { attempt: 1 } });
      await next.close();
    });

    it('puts into the rows what it decided, one for each pull', async () => {
      const own = await open();
      const [done, open_] = [randomUUID(), randomUUID()];
      const first = claimedRef(await own.pulls.claim(done, target, 'w', 3_600_000));
      await own.pulls.finish(first, failure);
      const second = claimedRef(await own.pulls.claim(done, target, 'w', 3_600_000));
      await own.pulls.finish(second);
      const running = claimedRef(await own.pulls.claim(open_, target, 'w', 3_600_000));
      await own.pulls.announce(running, { url: 'x' }, 7);
      await own.close();
      expect(await catalog.pulls.find(done)).toMatchObject({ state: 'finished', attempt: 1, target });
      expect(await catalog.pulls.find(done)).not.toHaveProperty('failure');
      expect(await catalog.pulls.find(open_)).toMatchObject({
        state: 'running',
        attempt: 1,
        size: 7,
        relay: { url: 'x' },
      });
      const { rows } = await admin.query(
        'SELECT previous_failure, started_at <= changed_at AS ordered FROM pulls WHERE key = $1',
        [done],
      );
      expect(rows).toEqual([{ previous_failure: failure, ordered: true }]);
      // What the row knows and memory does not stays.
      const next = await open();
      expect(claimedRef(await next.pulls.claim(open_, target, 'w', 3_600_000))).toMatchObject({ attempt: 2 });
      await next.pulls.finish(claimedRef(await next.pulls.claim(done, target, 'w', 3_600_000)), failure);
      expect(await next.pulls.find(done)).toMatchObject({ failure });
      await next.close();
      const after = await admin.query(
        'SELECT failure, previous_failure, previous_at IS NOT NULL AS before FROM pulls WHERE key = $1',
        [done],
      );
      expect(after.rows).toEqual([{ failure, previous_failure: null, before: true }]);
    });
  });

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
