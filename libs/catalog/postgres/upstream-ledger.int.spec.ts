import { type PostgresService, startPostgres } from '../../../test/support/services/index.js';
import { connectCatalog, migrate } from '../adapters.js';
import type { Catalog } from '../port.js';

jest.setTimeout(60_000);

describe('upstream ledger', () => {
  let postgres: PostgresService;
  let catalogs: Catalog[];
  beforeAll(async () => {
    postgres = await startPostgres();
    const url = await postgres.createDatabase('upstreams');
    await migrate({ url });
    catalogs = await Promise.all([connectCatalog({ url }), connectCatalog({ url })]);
  });
  afterAll(async () => {
    await Promise.all(catalogs?.map((catalog) => catalog.close()) ?? []);
    await postgres?.stop();
  });
  const find = async (upstream: string) =>
    (await catalogs[1]!.upstreams.list()).find((row) => row.upstream === upstream);
  const rate = { cause: 'rate-limited', countedOnly: false };

  it('names the installation the same in every process', async () => {
    const [one, two] = await Promise.all(catalogs.map((catalog) => catalog.installation()));
    expect(one).toMatch(/^[0-9a-f]{32}$/);
    expect(two).toBe(one);
  });

  it('shows a pause to others, with what remains of it, until it is over or ended', async () => {
    const [{ upstreams }] = catalogs as [Catalog];
    await upstreams.pause('a.example', 60_000, rate);
    const { pause } = (await find('a.example'))!;
    expect(pause).toEqual({ ...rate, remaining: expect.any(Number) });
    expect(pause!.remaining).toBeGreaterThan(30_000);
    expect(pause!.remaining).toBeLessThanOrEqual(60_000);
    await upstreams.resume('a.example');
    expect(await find('a.example')).toEqual({ upstream: 'a.example' });
    await upstreams.pause('a.example', -1, rate);
    expect(await find('a.example')).toEqual({ upstream: 'a.example' });
  });

  it('keeps the longer pause, the one that covers more, and what an operator says', async () => {
    const [{ upstreams }] = catalogs as [Catalog];
    const pause = async () => (await find('b.example'))!.pause!;
    await upstreams.pause('b.example', 60_000, { cause: 'exhausted', countedOnly: true });
    await upstreams.pause('b.example', 10_000, { cause: 'exhausted', countedOnly: true });
    expect((await pause()).remaining).toBeGreaterThan(30_000);
    await upstreams.pause('b.example', 20_000, rate);
    expect(await pause()).toMatchObject(rate);
    await upstreams.pause('b.example', 90_000, rate);
    expect((await pause()).remaining).toBeGreaterThan(60_000);
    await upstreams.pause('b.example', 5_000, { cause: 'manual', countedOnly: false });
    expect(await pause()).toMatchObject({ cause: 'manual' });
  });

  it('keeps what processes report, each part for itself', async () => {
    const [{ upstreams }] = catalogs as [Catalog];
    await upstreams.report('c.example', { quota: { limit: 100, remaining: 7 } });
    await upstreams.report('c.example', { failingFor: 30_000 });
    expect(await find('c.example')).toEqual({
      upstream: 'c.example',
      failingFor: expect.any(Number),
      quota: { limit: 100, remaining: 7 },
      quotaAge: expect.any(Number),
    });
  });
});
