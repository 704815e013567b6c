import { repository } from './repository.js';
import { batchStatement, statement } from './statement.js';

// Each is one statement, so that it is one round trip and one transaction at any pooler. A row that another transaction
// inserts at the same time cannot be seen by the same statement ("ON CONFLICT DO NOTHING" returns nothing for it); then
// the statement says so and is run again. All lock in the order repositories, manifests, repository_manifests, tags,
// blobs, repository_blobs, and by key within each, so that none waits for another in a circle.

/** What the tag names is in `held (repository_id, manifest_id, digest)`; gives `named (moved)`. */
const nameTag = (tag: string) => `
named AS (
  INSERT INTO tags AS t (repository_id, name, manifest_id, checked_at, moved_at)
  SELECT h.repository_id, ${tag}, h.manifest_id, clock.now, clock.now
  FROM held h, (SELECT clock_timestamp() AS now) clock
  WHERE ${tag} IS NOT NULL
  ON CONFLICT (repository_id, name) DO UPDATE SET
    manifest_id = excluded.manifest_id,
    checked_at = excluded.checked_at,
    moved_at = CASE WHEN t.manifest_id = excluded.manifest_id THEN t.moved_at ELSE excluded.moved_at END
  RETURNING repository_id, name, checked_at, moved_at = checked_at AS moved
), history AS (
  INSERT INTO tag_history (repository_id, name, digest, at)
  SELECT n.repository_id, n.name, h.digest, n.checked_at FROM named n, held h WHERE n.moved
)`;

/**
 * $1 upstream, $2 path, $3 digest, $4 media type, $5 bytes, $6 subject, $7 artifact type, $8 annotations,
 * $9 children, $10 kinds, $11 sizes, $12 platforms, $13 tag. `stored` is false when it must be run again.
 */
export const storeManifest = statement(
  'storeManifest',
  `${repository}, new_manifest AS (
  INSERT INTO manifests (digest, media_type, size, bytes, subject, artifact_type, annotations)
  SELECT $3::bytea, $4, octet_length($5::bytea), $5::bytea, $6::bytea, $7, $8::jsonb FROM repository
  WHERE NOT EXISTS (SELECT FROM manifests WHERE digest = $3::bytea)
  ON CONFLICT DO NOTHING
  RETURNING id
), new_edges AS (
  INSERT INTO edges (parent_id, ordinal, child, kind, size, platform)
  SELECT m.id, e.ordinal, e.child, e.kind, e.size, e.platform
  FROM new_manifest m,
       unnest($9::bytea[], $10::text[], $11::bigint[], $12::text[])
         WITH ORDINALITY AS e(child, kind, size, platform, ordinal)
), manifest AS (
  SELECT id, $4 AS media_type FROM new_manifest
  UNION ALL SELECT id, media_type FROM manifests WHERE digest = $3::bytea
), held AS (
  INSERT INTO repository_manifests AS h (repository_id, manifest_id, media_type, stored_at, last_access)
  SELECT r.id, m.id, nullif($4, m.media_type), clock_timestamp(), clock_timestamp() FROM repository r, manifest m
  ON CONFLICT (repository_id, manifest_id) DO UPDATE SET
    media_type = excluded.media_type, last_access = excluded.last_access
  RETURNING repository_id, manifest_id, $3::bytea AS digest
),${nameTag('$13::text')}
SELECT EXISTS (SELECT FROM held) AS stored, EXISTS (SELECT FROM named WHERE moved) AS moved`,
);

/** $1 upstream, $2 path, $3 digest, $4 tag */
export const confirmTag = statement(
  'confirmTag',
  `
WITH held AS (
  SELECT h.repository_id, h.manifest_id, m.digest
  FROM manifests m
  JOIN repositories r ON r.upstream = $1 AND r.path = $2
  JOIN repository_manifests h ON h.repository_id = r.id AND h.manifest_id = m.id
  WHERE m.digest = $3
),${nameTag('$4::text')}
SELECT EXISTS (SELECT FROM named) AS confirmed`,
);

/** $1 upstream, $2 path, $3 tag */
export const removeTag = statement(
  'removeTag',
  `
WITH removed AS (
  DELETE FROM tags t USING repositories r
  WHERE r.upstream = $1 AND r.path = $2 AND t.repository_id = r.id AND t.name = $3
  RETURNING t.repository_id, t.name
)
INSERT INTO tag_history (repository_id, name, digest, at)
SELECT repository_id, name, NULL, clock_timestamp() FROM removed`,
);

/** $1 upstreams, $2 paths, $3 digests, $4 sizes. Returns the places (from 1) that were stored; the others must be told again. */
export const storeBlobs = batchStatement(
  'storeBlobs',
  `
WITH item AS (
  SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bigint[])
    WITH ORDINALITY AS i(upstream, path, digest, size, place)
), new_repository AS (
  INSERT INTO repositories (upstream, path)
  SELECT DISTINCT i.upstream COLLATE "C", i.path COLLATE "C" FROM item i
  WHERE NOT EXISTS (SELECT FROM repositories r WHERE r.upstream = i.upstream AND r.path = i.path)
  ORDER BY 1, 2
  ON CONFLICT DO NOTHING
  RETURNING id, upstream, path
), repository AS MATERIALIZED (
  SELECT id, upstream, path FROM new_repository
  UNION ALL
  SELECT r.id, r.upstream, r.path FROM repositories r
  JOIN (SELECT DISTINCT upstream, path FROM item) i ON r.upstream = i.upstream AND r.path = i.path
), new_blob AS (
  INSERT INTO blobs (digest, size, stored_at, last_access)
  SELECT DISTINCT ON (i.digest) i.digest, i.size, clock_timestamp(), clock_timestamp() FROM item i
  WHERE (SELECT count(*) FROM new_repository) >= 0 -- repositories are locked first
    AND NOT EXISTS (SELECT FROM blobs b WHERE b.digest = i.digest)
  ORDER BY i.digest
  ON CONFLICT DO NOTHING
  RETURNING id, digest
), blob AS MATERIALIZED (
  SELECT id, digest FROM new_blob
  UNION ALL SELECT id, digest FROM blobs WHERE digest = ANY ($3::bytea[])
), pair AS (
  SELECT i.place, b.id AS blob_id, r.id AS repository_id
  FROM item i
  JOIN repository r ON r.upstream = i.upstream AND r.path = i.path
  JOIN blob b ON b.digest = i.digest
), held AS (
  INSERT INTO repository_blobs (blob_id, repository_id)
  SELECT DISTINCT blob_id, repository_id FROM pair ORDER BY 1, 2
  ON CONFLICT DO NOTHING
)
SELECT place::integer FROM pair`,
);

/** $1 digest */
export const forgetBlob = statement('forgetBlob', `DELETE FROM blobs WHERE digest = $1`);

/** $1 upstreams, $2 paths, $3 digests, $4 times. A time ahead of the database's clock counts as now. */
export const touch = batchStatement(
  'touch',
  `
WITH item AS (
  SELECT upstream, path, digest, least(max(at), now()) AS at, (array_agg(client ORDER BY at DESC))[1] AS client
  FROM unnest($1::text[], $2::text[], $3::bytea[], $4::timestamptz[], $5::text[]) AS i(upstream, path, digest, at, client)
  GROUP BY upstream, path, digest
), named AS (
  SELECT r.id AS repository_id, m.id AS manifest_id, m.digest, i.at, i.client
  FROM item i
  JOIN repositories r ON r.upstream = i.upstream AND r.path = i.path
  JOIN manifests m ON m.digest = i.digest
), accessed AS (
  -- Whoever pulls one platform's image uses the index above it.
  SELECT repository_id, manifest_id, max(at) AS at, (array_agg(client ORDER BY at DESC))[1] AS client FROM (
    SELECT repository_id, manifest_id, at, client FROM named
    UNION ALL
    SELECT n.repository_id, e.parent_id, n.at, n.client FROM named n JOIN edges e ON e.child = n.digest AND e.kind = 'manifest'
  ) a GROUP BY repository_id, manifest_id
), manifest AS (
  SELECT h.repository_id, h.manifest_id, a.at, a.client
  FROM accessed a
  JOIN repository_manifests h ON h.repository_id = a.repository_id AND h.manifest_id = a.manifest_id
  WHERE h.last_access < a.at
  ORDER BY h.repository_id, h.manifest_id FOR NO KEY UPDATE OF h
), touched_manifest AS (
  UPDATE repository_manifests h SET last_access = greatest(h.last_access, m.at), last_client = coalesce(m.client, h.last_client)
  FROM manifest m WHERE h.repository_id = m.repository_id AND h.manifest_id = m.manifest_id
  RETURNING 1
), blob AS (
  SELECT b.id, i.at
  FROM (SELECT digest, max(at) AS at FROM item WHERE (SELECT count(*) FROM touched_manifest) >= 0 GROUP BY digest) i
  JOIN blobs b ON b.digest = i.digest
  WHERE b.last_access < i.at
  ORDER BY b.digest FOR NO KEY UPDATE OF b
)
UPDATE blobs b SET last_access = greatest(b.last_access, l.at) FROM blob l WHERE b.id = l.id`,
);
