import { batchStatement } from './statement.js';

export const totals = batchStatement(
  'totals',
  `
SELECT r.upstream, count(*) AS repositories, coalesce(sum(h.count), 0) AS manifests, coalesce(sum(t.count), 0) AS tags
FROM repositories r
JOIN (SELECT repository_id, count(*) FROM repository_manifests GROUP BY repository_id) h ON h.repository_id = r.id
LEFT JOIN (SELECT repository_id, count(*) FROM tags GROUP BY repository_id) t ON t.repository_id = r.id
GROUP BY r.upstream ORDER BY r.upstream`,
);

/**
 * $1 upstream, $2 path, $3 tag or null, $4 digest or null. The manifest and all below it, held or only named, at most
 * 1,000; `depth` 0 is the root.
 */
export const imageTree = batchStatement(
  'imageTree',
  `
WITH RECURSIVE repository AS (
  SELECT id FROM repositories WHERE upstream = $1 AND path = $2
), root AS (
  SELECT m.digest FROM repository r
  JOIN tags t ON t.repository_id = r.id AND t.name = $3
  JOIN manifests m ON m.id = t.manifest_id
  UNION ALL
  SELECT m.digest FROM repository r
  JOIN manifests m ON m.digest = $4::bytea
  JOIN repository_manifests h ON h.repository_id = r.id AND h.manifest_id = m.id
), tree AS (
  SELECT NULL::bytea AS parent, 0 AS ordinal, digest, NULL::text AS platform, NULL::bigint AS named_size, 0 AS depth FROM root
  UNION ALL
  SELECT p.digest, e.ordinal, e.child, e.platform, e.size, p.depth + 1
  FROM tree p
  JOIN manifests m ON m.digest = p.digest
  JOIN edges e ON e.parent_id = m.id AND e.kind = 'manifest'
  WHERE p.depth < 4
)
SELECT t.parent, t.digest, t.platform, t.depth, coalesce(m.size, t.named_size) AS size,
       coalesce(h.media_type, m.media_type) AS media_type, m.artifact_type, h.stored_at, h.last_access, h.last_client
FROM tree t
LEFT JOIN (
  SELECT m.id, m.digest, m.media_type, m.size, m.artifact_type, h.repository_id
  FROM manifests m JOIN repository_manifests h ON h.manifest_id = m.id JOIN repository r ON r.id = h.repository_id
) m ON m.digest = t.digest
LEFT JOIN repository_manifests h ON h.repository_id = m.repository_id AND h.manifest_id = m.id
ORDER BY t.depth, t.ordinal LIMIT 1000`,
);

/** $1 upstream, $2 path, $3 digests of manifests. Their configs and layers, with at most 20 other repositories each. */
export const imageContents = batchStatement(
  'imageContents',
  `
SELECT m.digest AS parent, e.kind, e.child, e.size, b.id IS NOT NULL AS held,
  ARRAY(
    SELECT DISTINCT o.upstream || '/' || o.path FROM (
      SELECT s.repository_id FROM edges x JOIN repository_manifests s ON s.manifest_id = x.parent_id
      WHERE x.child = e.child LIMIT 1000
    ) s JOIN repositories o ON o.id = s.repository_id
    WHERE (o.upstream, o.path) <> ($1, $2) ORDER BY 1 LIMIT 20
  ) AS shared_by
FROM manifests m
JOIN edges e ON e.parent_id = m.id AND e.kind <> 'manifest'
LEFT JOIN blobs b ON b.digest = e.child
WHERE m.digest = ANY ($3::bytea[])
ORDER BY m.id, e.ordinal LIMIT 10000`,
);

/** $1 upstream, $2 path, $3 tag */
export const tagHistory = batchStatement(
  'tagHistory',
  `
SELECT t.at, t.digest FROM tag_history t
JOIN repositories r ON r.id = t.repository_id
WHERE r.upstream = $1 AND r.path = $2 AND t.name = $3
ORDER BY t.at DESC, t.id DESC LIMIT 100`,
);
