import { PostgresCatalog } from './postgres/catalog.js';
import { Connection, type ConnectionOptions } from './postgres/connection.js';
import { OwnPullLedger } from './postgres/own-ledger.js';

export { lockDirectory } from './embedded/lock.js';
export { type EmbeddedPostgres, type EmbeddedPostgresOptions, startEmbeddedPostgres } from './embedded/server.js';
export type { ConnectionOptions } from './postgres/connection.js';
export { migrate } from './postgres/migrate.js';

/**
 * Connects to a migrated database. One try; rejects with Failure UNAVAILABLE. `alone`: no other process works with this
 * database, so whoever may claim a pull is decided in memory.
 */
export async function connectCatalog({
  alone,
  ...options
}: ConnectionOptions & { readonly alone?: boolean }): Promise<PostgresCatalog> {
  const connection = await Connection.open(options);
  try {
    return new PostgresCatalog(connection, alone ? await OwnPullLedger.open(connection) : undefined);
  } catch (error) {
    await connection.close();
    throw error;
  }
}
