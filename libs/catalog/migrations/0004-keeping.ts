import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What operating a cache needs: when a pull began, counters of use, duties of one process at a time, prune plans. */
export class Keeping1764000000004 implements MigrationInterface {
  readonly name = 'Keeping1764000000004';

  async up(runner: QueryRunner): Promise<void> {
    // Null in rows of the release before.
    await runner.query(`ALTER TABLE pulls ADD COLUMN started_at timestamptz`);
    await runner.query(`
      CREATE TABLE usage (
        at timestamptz NOT NULL,
        upstream text COLLATE "C" NOT NULL,
        kind text COLLATE "C" NOT NULL,
        hits bigint NOT NULL,
        misses bigint NOT NULL,
        failures bigint NOT NULL,
        bytes_served bigint NOT NULL,
        bytes_fetched bigint NOT NULL,
        upstream_requests bigint NOT NULL,
        CONSTRAINT usage_pkey PRIMARY KEY (at, upstream, kind)
      ) WITH (fillfactor = 80)`);
    await runner.query(`
      CREATE TABLE duties (
        name text COLLATE "C" CONSTRAINT duties_pkey PRIMARY KEY,
        holder text NOT NULL,
        lease_until timestamptz NOT NULL,
        done_at timestamptz
      ) WITH (fillfactor = 80)`);
    await runner.query(`
      CREATE TABLE prune_jobs (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT prune_jobs_pkey PRIMARY KEY,
        cause text NOT NULL,
        rule jsonb NOT NULL,
        state text NOT NULL,
        created_at timestamptz NOT NULL,
        finished_at timestamptz,
        planned jsonb NOT NULL,
        removed jsonb NOT NULL,
        error text,
        CONSTRAINT prune_jobs_state_check CHECK (state IN ('planned', 'running', 'done', 'failed', 'cancelled'))
      )`);
    await runner.query(`
      CREATE TABLE prune_items (
        job_id bigint NOT NULL,
        ordinal bigint NOT NULL,
        repository_id bigint NOT NULL,
        manifest_id bigint NOT NULL,
        whole boolean NOT NULL,
        tags text[] NOT NULL,
        last_access timestamptz NOT NULL,
        CONSTRAINT prune_items_pkey PRIMARY KEY (job_id, ordinal),
        CONSTRAINT prune_items_job_fkey FOREIGN KEY (job_id) REFERENCES prune_jobs (id) ON DELETE CASCADE
      )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE prune_items, prune_jobs, duties, usage`);
    await runner.query(`ALTER TABLE pulls DROP COLUMN started_at`);
  }
}
