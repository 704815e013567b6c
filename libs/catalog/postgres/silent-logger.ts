import type { Logger } from 'typeorm';

/** TypeORM prints failed migrations to the console whatever `logging` says; the caller gets them as errors. */
export const silentLogger: Logger = {
  logQuery() {},
  logQueryError() {},
  logQuerySlow() {},
  logSchemaBuild() {},
  logMigration() {},
  log() {},
};
