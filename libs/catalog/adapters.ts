import { PostgresCatalog } from './postgres/catalog.js';
import { Connection, type ConnectionOptions } from './postgres/connection.js';

export { lockDirectory } from './embedded/lock.js';
export { type EmbeddedPostgres, type EmbeddedPostgresOptions, startEmbeddedPostgres } from './embedded/server.js';
export type { ConnectionOptions } from './postgres/connection.js';
export { migrate } from './postgres/migrate.js';

/** Connects to a migrated database. One try; rejects with Failure UNAVAILABLE. */
export async function connectCatalog(options: ConnectionOptions): Promise<PostgresCatalog> {
  return new PostgresCatalog(await Connection.open(options));
}
