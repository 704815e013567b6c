import type { Digest, Repository } from '#oci';
import { type PostgresService, startPostgres } from '../../test/support/services/index.js';
import { connectCatalog, migrate } from './adapters.js';
import { catalogContract, digestOf, someManifest, someRepository } from './catalog.contract.js';
import { listsContract } from './lists.contract.js';
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
    listsContract(() => catalog);
  });

  it('lets two processes tell, touch, claim and forget the same in any order without a deadlock', async () => {
    const two = await Promise.all([0, 1].map(() => connectCatalog({ url: postgres.url })));
    const repositories = Array.from({ length: 4 }, () => someRepository());
    const layers = Array.from({ length: 30 }, (_, n) => digestOf(`shared ${n}`));
    const keys = layers.map((digest) => digest.slice(7, 47));
    const shuffled = <T>(items: readonly T[]) =>
      items
        .map((item) => [Math.random(), item] as const)
        .sort(([a], [b]) => a - b)
        .map(([, item]) => item);
    try {
      for (let round = 0; round < 10; round++) {
        const calls = two.flatMap((catalog) => [
          ...shuffled(layers).map((digest, n) => catalog.storeBlob(repositories[n % 4] as Repository, digest, 1)),
          ...shuffled(keys).map(async (key) => {
            const target = {
              kind: 'blob',
              repository: repositories[0] as Repository,
              digest: layers[0] as Digest,
            } as const;
            const claim = await catalog.pulls.claim(key, target, 'w', 60_000);
            if (claim.outcome === 'claimed') await catalog.pulls.finish(claim.ref);
          }),
          ...shuffled(repositories).map((repository) =>
            catalog.storeManifest(repository, { ...someManifest(shuffled(layers)) }, 'latest'),
          ),
          catalog.touch(
            shuffled(layers).map((digest) => ({ repository: repositories[0] as Repository, digest, at: new Date() })),
          ),
          ...shuffled(layers)
            .slice(0, 5)
            .map((digest) => catalog.forgetBlob(digest)),
          catalog.pulls.expire(0),
        ]);
        await Promise.all(calls);
      }
    } finally {
      await Promise.all(two.map((catalog) => catalog.close()));
    }
    // A deadlock would have been retried; the server's log has it all the same.
    const log = await postgres.logs();
    expect(log).toMatch(/ready to accept connections/);
    expect(log).not.toMatch(/deadlock detected/);
  });
});
