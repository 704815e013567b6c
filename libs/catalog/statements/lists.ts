import { repository } from './repository.js';
import { batchStatement, statement } from './statement.js';

/** $1 upstream, $2 path. `names` and `age` are null while the upstream was never asked. */
export const findTags = statement(
  'findTags',
  `
SELECT l.names, (extract(epoch FROM clock_timestamp() - l.checked_at) * 1000)::float8 AS age,
       ARRAY(SELECT t.name FROM tags t
             WHERE t.repository_id = r.id AND (l.checked_at IS NULL OR t.checked_at > l.checked_at)) AS held
FROM repositories r LEFT JOIN tag_lists l ON l.repository_id = r.id
WHERE r.upstream = $1 AND r.path = $2`,
);

/** $1 upstream, $2 path, $3 names. Changes no row when it must be run again. */
export const storeTagList = statement(
  'storeTagList',
  `${repository}
INSERT INTO tag_lists (repository_id, names, checked_at)
SELECT id, $3::text[], clock_timestamp() FROM repository
ON CONFLICT (repository_id) DO UPDATE SET names = excluded.names, checked_at = excluded.checked_at`,
);

/** $1 upstream, $2 path, $3 subject */
export const findReferrerList = statement(
  'findReferrerList',
  `
SELECT l.descriptors, (extract(epoch FROM clock_timestamp() - l.checked_at) * 1000)::float8 AS age
FROM repositories r JOIN referrer_lists l ON l.repository_id = r.id
WHERE r.upstream = $1 AND r.path = $2 AND l.subject = $3`,
);

/** $1 upstream, $2 path, $3 subject */
export const findHeldReferrers = statement(
  'findHeldReferrers',
  `
SELECT m.digest, coalesce(h.media_type, m.media_type) AS media_type, m.size, m.artifact_type, m.annotations
FROM manifests m
JOIN repositories r ON r.upstream = $1 AND r.path = $2
JOIN repository_manifests h ON h.repository_id = r.id AND h.manifest_id = m.id
LEFT JOIN referrer_lists l ON l.repository_id = r.id AND l.subject = m.subject
WHERE m.subject = $3 AND (l.checked_at IS NULL OR h.stored_at > l.checked_at)
LIMIT 10000`,
);

/** $1 upstream, $2 path, $3 subject, $4 descriptors. Changes no row when it must be run again. */
export const storeReferrers = statement(
  'storeReferrers',
  `${repository}
INSERT INTO referrer_lists (repository_id, subject, descriptors, checked_at)
SELECT id, $3::bytea, $4::text, clock_timestamp() FROM repository
ON CONFLICT (repository_id, subject) DO UPDATE SET
  descriptors = excluded.descriptors, checked_at = excluded.checked_at`,
);

/**
 * $1 upstream of plain names, $2 first segments that are taken for hosts, $3 the only upstream, $4 last name, $5 how many,
 * $6 expressions of which one must match (null: none need to).
 * Reads every repository: their names are sorted by what clients see, which depends on the configuration.
 */
export const listRepositories = batchStatement(
  'listRepositories',
  `
SELECT name FROM (
  SELECT CASE
    WHEN $3::text IS NOT NULL THEN r.path
    WHEN r.upstream = $1::text AND NOT (
      strpos(r.path, '/') > 0 AND (
        strpos(split_part(r.path, '/', 1), '.') > 0
        OR split_part(r.path, '/', 1) = 'localhost'
        OR split_part(r.path, '/', 1) = ANY ($2::text[])
      )
    ) THEN r.path
    ELSE r.upstream || '/' || r.path
  END COLLATE "C" AS name, r.id
  FROM repositories r
  WHERE ($3::text IS NULL OR r.upstream = $3::text)
    AND ($6::text[] IS NULL OR (r.upstream || '/' || r.path) ~ ANY ($6::text[]))
) named
WHERE ($4::text IS NULL OR name > $4::text COLLATE "C")
  AND EXISTS (SELECT FROM repository_manifests h WHERE h.repository_id = named.id)
ORDER BY name COLLATE "C"
LIMIT $5::integer`,
);
