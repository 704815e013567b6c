import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { socketDirectory } from '../dist/libs/catalog/embedded/placement.js';

/** Of a manifest: a configuration and layers of its own, and one layer that some thousands share. */
const OWN = 8;
const SHARED = 1000;
const TAGS = 20;
const DIGESTS = ['manifests', 'blobs'];

/** A client of the private database of a server with this data directory. */
export async function openCatalog(dataDir) {
  const home = join(dataDir, 'postgres');
  const client = new pg.Client({
    host: socketDirectory(home),
    user: 'ociregistry',
    database: 'ociregistry',
    password: readFileSync(join(home, 'password'), 'utf8'),
  });
  await client.connect();
  return client;
}

/**
 * Fills a catalog by SQL: `images` manifests, 20 tags a repository, with `OWN + 1` contents each, so that there are ten
 * content rows for every image. Their last access lies between now and a hundred days ago. No bytes are stored.
 */
export async function fillCatalog(client, images, say) {
  const indexes = await client.query(
    `SELECT indexname AS name, indexdef AS text FROM pg_indexes
     WHERE schemaname = 'public' AND indexname ~ '_idx$' AND tablename ~ '^(manifests|edges|repository_manifests|tags|blobs)$'`,
  );
  await client.query(
    `SET session_replication_role = replica; SET work_mem = '256MB'; SET maintenance_work_mem = '512MB'`,
  );
  for (const { name } of indexes.rows) await client.query(`DROP INDEX ${name}`);
  // Digests come in no order: every row would be a page of the index that is not in memory.
  for (const table of DIGESTS) await client.query(`ALTER TABLE ${table} DROP CONSTRAINT ${table}_digest_key`);
  const { rows } = await client.query(`SELECT coalesce(max(id), 0) AS m, (SELECT coalesce(max(id), 0) FROM blobs) AS b,
    (SELECT coalesce(max(id), 0) FROM repositories) AS r FROM manifests`);
  const [m, b, r] = [Number(rows[0].m), Number(rows[0].b), Number(rows[0].r)];
  const own = images * OWN;
  const statements = {
    repositories: `INSERT INTO repositories (id, upstream, path) OVERRIDING SYSTEM VALUE
      SELECT ${r} + n, 'scale' || n % 7 || '.example', 'team' || n % 97 || '/app' || n FROM generate_series(1, ${images / TAGS}) n`,
    manifests: `INSERT INTO manifests (id, digest, media_type, size, bytes) OVERRIDING SYSTEM VALUE
      SELECT ${m} + n, sha256(('scale manifest ' || n)::bytea), 'application/vnd.oci.image.manifest.v1+json', 1000,
        decode(repeat(md5(n::text), 31), 'hex') FROM generate_series(1, ${images}) n`,
    repository_manifests: `INSERT INTO repository_manifests (repository_id, manifest_id, stored_at, last_access)
      SELECT ${r} + 1 + (n - 1) / ${TAGS}, ${m} + n, now() - interval '100 days', now() - (n * 7919::bigint % 8640000) * interval '1 second'
      FROM generate_series(1, ${images}) n`,
    tags: `INSERT INTO tags (repository_id, name, manifest_id, checked_at, moved_at)
      SELECT ${r} + 1 + (n - 1) / ${TAGS}, 'v' || n % ${TAGS}, ${m} + n, now(), now() FROM generate_series(1, ${images}) n`,
    blobs: `INSERT INTO blobs (id, digest, size, stored_at, last_access) OVERRIDING SYSTEM VALUE
      SELECT ${b} + n, sha256(('scale blob ' || n)::bytea), 1000000 + n % 1000, now() - interval '100 days', now() - interval '50 days'
      FROM generate_series(1, ${own + SHARED}) n`,
    edges: `INSERT INTO edges (parent_id, ordinal, child, kind, size)
      SELECT ${m} + n, o, sha256(('scale blob ' || id)::bytea), CASE o WHEN 1 THEN 'config' ELSE 'layer' END, 1000000 + id % 1000
      FROM generate_series(1, ${images}) n, generate_series(1, ${OWN + 1}) o,
        LATERAL (SELECT CASE WHEN o <= ${OWN} THEN (n - 1) * ${OWN} + o ELSE ${own} + 1 + n % ${SHARED} END AS id) i`,
    repository_blobs: `INSERT INTO repository_blobs (blob_id, repository_id)
      SELECT ${b} + o, ${r} + 1 + (o - 1) / ${OWN * TAGS} FROM generate_series(1, ${own}) o
      UNION ALL
      SELECT DISTINCT ${b} + ${own} + 1 + n % ${SHARED}, ${r} + 1 + (n - 1) / ${TAGS} FROM generate_series(1, ${images}) n`,
  };
  const counts = {};
  for (const [table, text] of Object.entries(statements)) {
    const begun = performance.now();
    counts[table] = (await client.query(text)).rowCount;
    say(`${counts[table]} ${table}, ${((performance.now() - begun) / 1000).toFixed(0)} s`);
  }
  await client.query(`INSERT INTO totals (kind, count, bytes)
    VALUES ('manifests', ${images}, ${images} * 1000::bigint), ('tags', ${images}, 0),
      ('blobs', ${own + SHARED}, (SELECT sum(size) FROM blobs WHERE id > ${b}))`);
  for (const table of ['repositories', 'manifests', 'blobs'])
    await client.query(`SELECT setval(pg_get_serial_sequence('${table}', 'id'), (SELECT max(id) FROM ${table}))`);
  const begun = performance.now();
  for (const { text } of indexes.rows) await client.query(text);
  for (const table of DIGESTS)
    await client.query(`ALTER TABLE ${table} ADD CONSTRAINT ${table}_digest_key UNIQUE (digest)`);
  say(`indexes, ${((performance.now() - begun) / 1000).toFixed(0)} s`);
  await client.query('VACUUM ANALYZE');
  await client.query('RESET ALL; SET session_replication_role = DEFAULT');
  return counts;
}
