import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What processes tell each other about upstreams, and a name by which the installation recognises its own requests. */
export class Upstreams1764000000002 implements MigrationInterface {
  readonly name = 'Upstreams1764000000002';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE upstreams (
        upstream text COLLATE "C" CONSTRAINT upstreams_pkey PRIMARY KEY,
        paused_until timestamptz,
        pause_cause text,
        paused_counted boolean NOT NULL,
        failing_until timestamptz,
        quota jsonb,
        quota_at timestamptz
      )`);
    await runner.query(`CREATE TABLE installation (id text CONSTRAINT installation_pkey PRIMARY KEY)`);
    await runner.query(`INSERT INTO installation VALUES (replace(gen_random_uuid()::text, '-', ''))`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE installation, upstreams`);
  }
}
