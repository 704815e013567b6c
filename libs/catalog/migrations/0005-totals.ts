import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Counts and sizes kept while rows come and go, since counting a million rows takes seconds. Every statement that stores
 * or removes adds a row with its difference, so that no two wait for each other; `foldTotals` makes few rows of many.
 */
export class Totals1764000000005 implements MigrationInterface {
  readonly name = 'Totals1764000000005';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE totals (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT totals_pkey PRIMARY KEY,
        kind text COLLATE "C" NOT NULL,
        count bigint NOT NULL,
        bytes bigint NOT NULL
      )`);
    // Triggers and not the statements, so that the release before counts too while both run.
    await runner.query(`
      CREATE FUNCTION add_to_totals() RETURNS trigger LANGUAGE plpgsql AS $$
      DECLARE sign integer := CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END;
      BEGIN
        IF TG_TABLE_NAME = 'tags' THEN
          INSERT INTO totals (kind, count, bytes)
          SELECT TG_TABLE_NAME, sign * count(*), 0 FROM changed HAVING count(*) > 0;
        ELSE
          INSERT INTO totals (kind, count, bytes)
          SELECT TG_TABLE_NAME, sign * count(*), sign * sum(size) FROM changed HAVING count(*) > 0;
        END IF;
        RETURN NULL;
      END $$`);
    for (const table of TABLES) {
      await runner.query(`LOCK TABLE ${table} IN SHARE MODE`);
      const bytes = table === 'tags' ? '0' : 'coalesce(sum(size), 0)';
      await runner.query(`INSERT INTO totals (kind, count, bytes) SELECT '${table}', count(*), ${bytes} FROM ${table}`);
      await runner.query(`
        CREATE TRIGGER ${table}_stored AFTER INSERT ON ${table} REFERENCING NEW TABLE AS changed
        FOR EACH STATEMENT EXECUTE FUNCTION add_to_totals()`);
      await runner.query(`
        CREATE TRIGGER ${table}_removed AFTER DELETE ON ${table} REFERENCING OLD TABLE AS changed
        FOR EACH STATEMENT EXECUTE FUNCTION add_to_totals()`);
    }
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const table of TABLES) {
      await runner.query(`DROP TRIGGER ${table}_stored ON ${table}`);
      await runner.query(`DROP TRIGGER ${table}_removed ON ${table}`);
    }
    await runner.query(`DROP FUNCTION add_to_totals()`);
    await runner.query(`DROP TABLE totals`);
  }
}

const TABLES = ['manifests', 'tags', 'blobs'] as const;
