import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What upstreams said when they were asked for lists. `descriptors` is JSON as text: jsonb takes no NUL inside strings. */
export class Lists1764000000003 implements MigrationInterface {
  readonly name = 'Lists1764000000003';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE tag_lists (
        repository_id bigint CONSTRAINT tag_lists_pkey PRIMARY KEY,
        names text[] NOT NULL,
        checked_at timestamptz NOT NULL,
        CONSTRAINT tag_lists_repository_fkey FOREIGN KEY (repository_id) REFERENCES repositories (id)
      )`);
    await runner.query(`
      CREATE TABLE referrer_lists (
        repository_id bigint NOT NULL,
        subject bytea NOT NULL,
        descriptors text NOT NULL,
        checked_at timestamptz NOT NULL,
        CONSTRAINT referrer_lists_pkey PRIMARY KEY (repository_id, subject),
        CONSTRAINT referrer_lists_repository_fkey FOREIGN KEY (repository_id) REFERENCES repositories (id),
        CONSTRAINT referrer_lists_subject_check CHECK (octet_length(subject) IN (32, 64))
      )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE referrer_lists, tag_lists`);
  }
}
