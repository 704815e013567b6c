import { batchStatement } from './statement.js';

const INTACT = `CASE octet_length(digest) WHEN 32 THEN sha256(bytes) ELSE sha512(bytes) END = digest AS intact`;

/** $1 digest or empty, $2 limit */
export const pageBlobs = batchStatement(
  'pageBlobs',
  `SELECT digest, size FROM blobs WHERE digest > $1 ORDER BY digest LIMIT $2`,
);

/** $1 id, $2 limit */
export const checkManifests = batchStatement(
  'checkManifests',
  `SELECT id, digest, size, ${INTACT} FROM manifests WHERE id > $1 ORDER BY id LIMIT $2`,
);

/** $1 digest */
export const checkManifest = batchStatement(
  'checkManifest',
  `SELECT digest, size, ${INTACT} FROM manifests WHERE digest = $1`,
);

/** $1 repository, $2 manifest, $3 limit */
export const pageManifests = batchStatement(
  'pageManifests',
  `
SELECT h.repository_id, h.manifest_id, r.upstream, r.path, m.digest, coalesce(h.media_type, m.media_type) AS media_type, m.bytes
FROM (
  SELECT repository_id, manifest_id, media_type FROM repository_manifests
  WHERE (repository_id, manifest_id) > ($1::bigint, $2::bigint) ORDER BY repository_id, manifest_id LIMIT $3
) h
JOIN repositories r ON r.id = h.repository_id
JOIN manifests m ON m.id = h.manifest_id
ORDER BY h.repository_id, h.manifest_id`,
);

/** $1 repository, $2 tag, $3 limit */
export const pageTags = batchStatement(
  'pageTags',
  `
SELECT t.repository_id, t.name, r.upstream, r.path, m.digest, t.checked_at, t.moved_at
FROM (
  SELECT repository_id, name, manifest_id, checked_at, moved_at FROM tags
  WHERE (repository_id, name) > ($1::bigint, $2::text COLLATE "C") ORDER BY repository_id, name LIMIT $3
) t
JOIN repositories r ON r.id = t.repository_id
JOIN manifests m ON m.id = t.manifest_id
ORDER BY t.repository_id, t.name`,
);

/** $1 blob, $2 repository, $3 limit */
export const pageGrants = batchStatement(
  'pageGrants',
  `
SELECT h.blob_id, h.repository_id, r.upstream, r.path, b.digest, b.size
FROM (
  SELECT blob_id, repository_id FROM repository_blobs
  WHERE (blob_id, repository_id) > ($1::bigint, $2::bigint) ORDER BY blob_id, repository_id LIMIT $3
) h
JOIN repositories r ON r.id = h.repository_id
JOIN blobs b ON b.id = h.blob_id
ORDER BY h.blob_id, h.repository_id`,
);

/** $1 digest */
export const blobHolders = batchStatement(
  'blobHolders',
  `
SELECT r.upstream, r.path FROM blobs b
JOIN repository_blobs h ON h.blob_id = b.id
JOIN repositories r ON r.id = h.repository_id
WHERE b.digest = $1 ORDER BY r.upstream, r.path`,
);

/** $1 digest. Gives what it has taken away. */
export const dropManifest = batchStatement(
  'dropManifest',
  `
WITH manifest AS (
  SELECT id FROM manifests WHERE digest = $1 FOR UPDATE
), held AS (
  SELECT h.repository_id, r.upstream, r.path FROM manifest m
  JOIN repository_manifests h ON h.manifest_id = m.id
  JOIN repositories r ON r.id = h.repository_id
), tag AS (
  SELECT t.repository_id, t.name, t.checked_at, t.moved_at FROM manifest m JOIN tags t ON t.manifest_id = m.id
), dropped AS (
  DELETE FROM manifests USING manifest WHERE manifests.id = manifest.id
)
SELECT h.upstream, h.path, t.name, t.checked_at, t.moved_at
FROM held h LEFT JOIN tag t ON t.repository_id = h.repository_id
ORDER BY h.upstream, h.path, t.name`,
);

/** $1 upstream, $2 path, $3 digest, $4 tag, $5 checked at, $6 moved at */
export const restoreTag = batchStatement(
  'restoreTag',
  `
INSERT INTO tags AS t (repository_id, name, manifest_id, checked_at, moved_at)
SELECT h.repository_id, $4::text, h.manifest_id, least($5::timestamptz, now()), least($6::timestamptz, now())
FROM manifests m
JOIN repositories r ON r.upstream = $1 AND r.path = $2
JOIN repository_manifests h ON h.repository_id = r.id AND h.manifest_id = m.id
WHERE m.digest = $3
ON CONFLICT (repository_id, name) DO UPDATE SET
  manifest_id = excluded.manifest_id, checked_at = excluded.checked_at, moved_at = excluded.moved_at
WHERE t.checked_at < excluded.checked_at`,
);
