import { createServer, type Server, type Socket } from 'node:net';
import { Failure } from '#oci';
import { type PostgresService, startPostgres } from '../../../test/support/services/index.js';
import { connectCatalog, migrate } from '../adapters.js';
import { digestOf, someManifest, someRepository } from '../catalog.contract.js';
import { statement } from '../statements/statement.js';
import type { PostgresCatalog } from './catalog.js';
import { Connection } from './connection.js';

jest.setTimeout(120_000);

const unavailable = expect.objectContaining({
  reason: 'UNAVAILABLE',
  origin: 'catalog',
  retryable: true,
  retryAfter: expect.any(Number),
});

describe('connection', () => {
  let postgres: PostgresService;
  beforeAll(async () => {
    postgres = await startPostgres({ version: 18 });
    await migrate({ url: postgres.url });
  });
  afterAll(() => postgres?.stop());

  describe('over a restart of PostgreSQL', () => {
    let catalog: PostgresCatalog;
    const lost: Error[] = [];
    beforeEach(async () => {
      catalog = await connectCatalog({ url: postgres.url, onConnectionLost: (error) => lost.push(error) });
    });
    afterEach(() => catalog?.close());

    it.each(['restart', 'kill'] as const)('answers the next query after a %s', async (how) => {
      const repository = someRepository();
      const manifest = someManifest();
      await catalog.storeManifest(repository, manifest, 'latest');
      await Promise.all(Array.from({ length: 20 }, () => catalog.findTag(repository, 'latest')));
      lost.length = 0;
      if (how === 'kill') await postgres.kill();
      await postgres.restart();
      expect((await catalog.findTag(repository, 'latest'))?.digest).toBe(manifest.digest);
      await catalog.storeBlob(repository, digestOf('after'), 1);
      expect(lost.length).toBeGreaterThan(0);
    });

    it('tells those who ask meanwhile to come again', async () => {
      await postgres.kill();
      const repository = someRepository();
      const digest = digestOf('meanwhile');
      const calls = await Promise.allSettled([
        catalog.findTag(repository, 'latest'),
        catalog.storeBlob(repository, digest, 1),
        catalog.storeManifest(repository, someManifest()),
        catalog.pulls.find('x'),
        catalog.pulls.claim('x', { kind: 'blob', repository, digest }, 'w', 1),
        catalog.ping(),
        connectCatalog({ url: postgres.url }),
        migrate({ url: postgres.url }),
      ]);
      for (const call of calls) expect(call).toEqual({ status: 'rejected', reason: unavailable });
      await postgres.restart();
      await catalog.ping();
    });
  });

  it('says so when a log-in or a database is refused', async () => {
    const url = new URL(postgres.url);
    url.password = 'wrong';
    await expect(connectCatalog({ url: url.href })).rejects.toEqual(unavailable);
  });

  it('does not take a mistake for an outage', async () => {
    const connection = await Connection.open({ url: postgres.url });
    try {
      const mistake = connection.query(statement('mistake', 'SELECT nonsense'), []);
      await expect(mistake).rejects.not.toBeInstanceOf(Failure);
    } finally {
      await connection.close();
    }
  });

  it.each([{ preparedStatements: true }, { preparedStatements: false }])(
    'bounds a statement and leaves the connection usable: %o',
    async ({ preparedStatements }) => {
      const connection = await Connection.open({
        url: postgres.url,
        poolSize: 1,
        statementTimeout: 100,
        preparedStatements,
      });
      try {
        const slow = connection.query(statement('slow', 'SELECT pg_sleep(3600)'), []);
        await expect(slow).rejects.toEqual(unavailable);
        await connection.ping();
      } finally {
        await connection.close();
      }
    },
  );

  it('bounds the wait for a free connection', async () => {
    const connection = await Connection.open({ url: postgres.url, poolSize: 1, connectTimeout: 2000 });
    const runner = connection.dataSource.createQueryRunner();
    await runner.connect();
    try {
      await expect(connection.ping()).rejects.toEqual(unavailable);
    } finally {
      await runner.release();
      await connection.close();
    }
  });

  it('uses no session state without prepared statements', async () => {
    const connection = await Connection.open({ url: postgres.url, poolSize: 1, preparedStatements: false });
    try {
      await connection.ping();
      expect(await connection.query(statement('any', 'SELECT name FROM pg_prepared_statements'), [])).toEqual([]);
      const [row] = await connection.query<{ setting: string }>(
        statement('any', `SELECT setting FROM pg_settings WHERE name = 'statement_timeout'`),
        [],
      );
      expect(row?.setting).toBe('0');
    } finally {
      await connection.close();
    }
  });

  describe('to a server that accepts and never answers', () => {
    let silent: Server;
    const sockets = new Set<Socket>();
    let url: string;
    beforeAll(async () => {
      silent = createServer((socket) => sockets.add(socket));
      await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
      url = `postgresql://u:p@127.0.0.1:${(silent.address() as { port: number }).port}/d`;
    });
    afterAll(() => {
      for (const socket of sockets) socket.destroy();
      silent.close();
    });

    it('gives up', async () => {
      await expect(connectCatalog({ url, connectTimeout: 100 })).rejects.toEqual(unavailable);
      await expect(migrate({ url, connectTimeout: 100 })).rejects.toEqual(unavailable);
    });
  });
});
