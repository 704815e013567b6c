import { DataSource, MigrationExecutor } from 'typeorm';
import { migrations } from '../migrations/index.js';
import { catalogFailure } from './failures.js';
import { silentLogger } from './silent-logger.js';

/** Any number that no other program locks in this database. */
const LOCK = 7_308_604_897;

/**
 * Brings the schema up to this release. Any number of processes may call it at once: all run in one transaction under
 * one lock that ends with it, which a pooler in transaction mode carries too. Returns the names of what was run.
 * One try; rejects with Failure UNAVAILABLE on trouble of the connection, or when the lock is not had in `lockTimeout` ms.
 */
export async function migrate(options: {
  readonly url: string;
  readonly connectTimeout?: number;
  readonly lockTimeout?: number;
}): Promise<string[]> {
  const dataSource = new DataSource({
    type: 'postgres',
    url: options.url,
    migrations,
    migrationsTableName: 'migrations',
    logger: silentLogger,
    installExtensions: false,
    poolErrorHandler: () => {},
    extra: {
      max: 1,
      connectionTimeoutMillis: options.connectTimeout ?? 5_000,
      application_name: 'ociregistry migrate',
    },
  });
  try {
    await dataSource.initialize();
    const runner = dataSource.createQueryRunner();
    try {
      await runner.startTransaction();
      await runner.query(`SET LOCAL statement_timeout = 0`);
      await runner.query(`SET LOCAL lock_timeout = ${Math.ceil(options.lockTimeout ?? 120_000)}`);
      await runner.query(`SELECT pg_advisory_xact_lock(${LOCK})`);
      const executor = new MigrationExecutor(dataSource, runner);
      executor.transaction = 'all';
      const done = await executor.executePendingMigrations();
      await runner.commitTransaction();
      return done.map((migration) => migration.name);
    } catch (error) {
      // When the connection is gone there is nothing to roll back, and the first error is the one to tell.
      if (runner.isTransactionActive) await runner.rollbackTransaction().catch(() => {});
      throw error;
    } finally {
      await runner.release();
    }
  } catch (error) {
    throw catalogFailure(error);
  } finally {
    if (dataSource.isInitialized) await dataSource.destroy();
  }
}
