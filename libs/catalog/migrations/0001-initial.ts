import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Why these types and tables: docs/adr/0002-catalog-tables.md. */
export class Initial1764000000001 implements MigrationInterface {
  readonly name = 'Initial1764000000001';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE repositories (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT repositories_pkey PRIMARY KEY,
        upstream text COLLATE "C" NOT NULL,
        path text COLLATE "C" NOT NULL,
        CONSTRAINT repositories_upstream_path_key UNIQUE (upstream, path)
      )`);
    await runner.query(`
      CREATE TABLE manifests (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT manifests_pkey PRIMARY KEY,
        digest bytea NOT NULL CONSTRAINT manifests_digest_key UNIQUE,
        media_type text NOT NULL,
        size bigint NOT NULL,
        bytes bytea NOT NULL,
        subject bytea,
        artifact_type text,
        annotations jsonb,
        CONSTRAINT manifests_digest_check CHECK (octet_length(digest) IN (32, 64))
      )`);
    await runner.query(`CREATE INDEX manifests_subject_idx ON manifests (subject) WHERE subject IS NOT NULL`);
    await runner.query(`
      CREATE TABLE edges (
        parent_id bigint NOT NULL,
        ordinal integer NOT NULL,
        child bytea NOT NULL,
        kind text NOT NULL,
        size bigint NOT NULL,
        platform text,
        CONSTRAINT edges_pkey PRIMARY KEY (parent_id, ordinal),
        CONSTRAINT edges_parent_fkey FOREIGN KEY (parent_id) REFERENCES manifests (id) ON DELETE CASCADE,
        CONSTRAINT edges_kind_check CHECK (kind IN ('config', 'layer', 'manifest')),
        CONSTRAINT edges_child_check CHECK (octet_length(child) IN (32, 64))
      )`);
    await runner.query(`CREATE INDEX edges_child_idx ON edges (child, parent_id)`);
    await runner.query(`
      CREATE TABLE repository_manifests (
        repository_id bigint NOT NULL,
        manifest_id bigint NOT NULL,
        media_type text,
        stored_at timestamptz NOT NULL,
        last_access timestamptz NOT NULL,
        CONSTRAINT repository_manifests_pkey PRIMARY KEY (repository_id, manifest_id),
        CONSTRAINT repository_manifests_repository_fkey FOREIGN KEY (repository_id) REFERENCES repositories (id),
        CONSTRAINT repository_manifests_manifest_fkey FOREIGN KEY (manifest_id) REFERENCES manifests (id) ON DELETE CASCADE
      )`);
    await runner.query(`CREATE INDEX repository_manifests_manifest_idx ON repository_manifests (manifest_id)`);
    await runner.query(`CREATE INDEX repository_manifests_last_access_idx ON repository_manifests (last_access)`);
    await runner.query(`
      CREATE TABLE tags (
        repository_id bigint NOT NULL,
        name text COLLATE "C" NOT NULL,
        manifest_id bigint NOT NULL,
        checked_at timestamptz NOT NULL,
        moved_at timestamptz NOT NULL,
        CONSTRAINT tags_pkey PRIMARY KEY (repository_id, name),
        CONSTRAINT tags_held_fkey FOREIGN KEY (repository_id, manifest_id)
          REFERENCES repository_manifests (repository_id, manifest_id) ON DELETE CASCADE
      ) WITH (fillfactor = 90)`);
    await runner.query(`CREATE INDEX tags_held_idx ON tags (repository_id, manifest_id)`);
    await runner.query(`
      CREATE TABLE tag_history (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT tag_history_pkey PRIMARY KEY,
        repository_id bigint NOT NULL,
        name text COLLATE "C" NOT NULL,
        digest bytea,
        at timestamptz NOT NULL,
        CONSTRAINT tag_history_repository_fkey FOREIGN KEY (repository_id) REFERENCES repositories (id)
      )`);
    await runner.query(`CREATE INDEX tag_history_tag_idx ON tag_history (repository_id, name, at)`);
    await runner.query(`CREATE INDEX tag_history_at_idx ON tag_history (at)`);
    await runner.query(`
      CREATE TABLE blobs (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT blobs_pkey PRIMARY KEY,
        digest bytea NOT NULL CONSTRAINT blobs_digest_key UNIQUE,
        size bigint NOT NULL,
        stored_at timestamptz NOT NULL,
        last_access timestamptz NOT NULL,
        CONSTRAINT blobs_digest_check CHECK (octet_length(digest) IN (32, 64)),
        CONSTRAINT blobs_size_check CHECK (size >= 0)
      )`);
    await runner.query(`CREATE INDEX blobs_last_access_idx ON blobs (last_access)`);
    await runner.query(`
      CREATE TABLE repository_blobs (
        blob_id bigint NOT NULL,
        repository_id bigint NOT NULL,
        CONSTRAINT repository_blobs_pkey PRIMARY KEY (blob_id, repository_id),
        CONSTRAINT repository_blobs_blob_fkey FOREIGN KEY (blob_id) REFERENCES blobs (id) ON DELETE CASCADE,
        CONSTRAINT repository_blobs_repository_fkey FOREIGN KEY (repository_id) REFERENCES repositories (id)
      )`);
    await runner.query(`CREATE SEQUENCE pull_token`);
    await runner.query(`
      CREATE TABLE pulls (
        key text COLLATE "C" CONSTRAINT pulls_pkey PRIMARY KEY,
        target jsonb NOT NULL,
        state text NOT NULL,
        attempt integer NOT NULL,
        token bigint NOT NULL,
        worker text NOT NULL,
        lease_until timestamptz NOT NULL,
        changed_at timestamptz NOT NULL,
        relay jsonb,
        size bigint,
        failure jsonb,
        previous_failure jsonb,
        previous_at timestamptz,
        CONSTRAINT pulls_state_check CHECK (state IN ('running', 'finished'))
      ) WITH (fillfactor = 80)`);
    await runner.query(`CREATE INDEX pulls_changed_at_idx ON pulls (changed_at)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(
      `DROP TABLE pulls, repository_blobs, blobs, tag_history, tags, repository_manifests, edges, manifests, repositories`,
    );
    await runner.query(`DROP SEQUENCE pull_token`);
  }
}
