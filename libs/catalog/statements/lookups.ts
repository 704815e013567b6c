import { batchStatement, statement } from './statement.js';

/** $1 upstream, $2 path, $3 tag */
export const findTag = statement(
  'findTag',
  `
SELECT m.digest, coalesce(h.media_type, m.media_type) AS media_type, m.bytes,
       (extract(epoch FROM clock_timestamp() - t.checked_at) * 1000)::float8 AS age
FROM repositories r
JOIN tags t ON t.repository_id = r.id
JOIN repository_manifests h ON h.repository_id = t.repository_id AND h.manifest_id = t.manifest_id
JOIN manifests m ON m.id = t.manifest_id
WHERE r.upstream = $1 AND r.path = $2 AND t.name = $3`,
);

/** $1 upstream, $2 path, $3 digest */
export const findManifest = statement(
  'findManifest',
  `
SELECT coalesce(h.media_type, m.media_type) AS media_type, m.bytes
FROM manifests m
JOIN repositories r ON r.upstream = $1 AND r.path = $2
JOIN repository_manifests h ON h.repository_id = r.id AND h.manifest_id = m.id
WHERE m.digest = $3`,
);

/** $1 upstream, $2 path, $3 digest */
export const findBlob = statement(
  'findBlob',
  `
SELECT b.size
FROM blobs b
JOIN repositories r ON r.upstream = $1 AND r.path = $2
JOIN repository_blobs h ON h.blob_id = b.id AND h.repository_id = r.id
WHERE b.digest = $3`,
);

/**
 * $1 upstreams, $2 paths, $3 digests. Subqueries of single keys, so one plan suits any number of them. `described` looks
 * through the newest 1,000 manifests that name the digest: a few digests (the empty JSON config) are in nearly every
 * manifest, and the answer is a hint that the caller can do without.
 */
export const knowBlobs = statement(
  'knowBlobs',
  `
SELECT i.place::integer,
  (SELECT b.size FROM blobs b
   JOIN repositories r ON r.upstream = i.upstream AND r.path = i.path
   JOIN repository_blobs h ON h.blob_id = b.id AND h.repository_id = r.id
   WHERE b.digest = i.digest) AS held,
  (SELECT size FROM blobs b WHERE b.digest = i.digest) AS stored,
  (SELECT e.size FROM repositories r
   CROSS JOIN (SELECT parent_id, size FROM edges WHERE child = i.digest ORDER BY parent_id DESC LIMIT 1000) e
   WHERE r.upstream = i.upstream AND r.path = i.path
     AND EXISTS (SELECT FROM repository_manifests h WHERE h.repository_id = r.id AND h.manifest_id = e.parent_id)
   LIMIT 1) AS described
FROM unnest($1::text[], $2::text[], $3::bytea[]) WITH ORDINALITY AS i(upstream, path, digest, place)`,
);

export const counts = batchStatement(
  'counts',
  `
SELECT (SELECT count(*) FROM repositories r
        WHERE EXISTS (SELECT FROM repository_manifests h WHERE h.repository_id = r.id)) AS repositories,
       coalesce(sum(count) FILTER (WHERE kind = 'manifests'), 0) AS manifests,
       coalesce(sum(bytes) FILTER (WHERE kind = 'manifests'), 0) AS manifest_bytes,
       coalesce(sum(count) FILTER (WHERE kind = 'blobs'), 0) AS blobs,
       coalesce(sum(bytes) FILTER (WHERE kind = 'blobs'), 0) AS blob_bytes,
       coalesce(sum(count) FILTER (WHERE kind = 'tags'), 0) AS tags
FROM totals`,
);

export const ping = statement('ping', `SELECT 1`);
