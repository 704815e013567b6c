import type { ListSource } from './listing.js';

const text = (column: string) => ({ column, type: 'text' }) as const;
const number = (column: string) => ({ column, type: 'bigint' }) as const;
const bytes = (column: string) => ({ column, type: 'bytea' }) as const;
const time = (column: string) => ({ column, type: 'timestamptz' }) as const;

/** Digest as text of a `bytea` column. */
const digestText = (column: string) =>
  `CASE octet_length(${column}) WHEN 32 THEN 'sha256:' ELSE 'sha512:' END || encode(${column}, 'hex')`;

const place = [text('upstream'), text('path'), text('name')];

/** Neither a tag nor a held index of the same repository names it. Of `h` and `m`. */
const UNNAMED = `NOT EXISTS (SELECT FROM tags t WHERE t.repository_id = h.repository_id AND t.manifest_id = h.manifest_id)
    AND NOT EXISTS (
      SELECT FROM edges e
      JOIN repository_manifests p ON p.repository_id = h.repository_id AND p.manifest_id = e.parent_id
      WHERE e.child = m.digest AND e.kind = 'manifest')`;

/** Bytes of what the repository holds below a manifest, itself included. Of `i (repository_id, manifest_id, manifest_size)`. */
const imageSize = (i: string) => `(
  ${i}.manifest_size + coalesce((
    SELECT sum(CASE e.kind WHEN 'manifest' THEN below.size ELSE e.size END)
    FROM edges e
    LEFT JOIN LATERAL (
      SELECT c.size + coalesce((SELECT sum(ce.size) FROM edges ce WHERE ce.parent_id = c.id AND ce.kind <> 'manifest'), 0) AS size
      FROM manifests c
      JOIN repository_manifests ch ON ch.repository_id = ${i}.repository_id AND ch.manifest_id = c.id
      WHERE e.kind = 'manifest' AND c.digest = e.child
    ) below ON true
    WHERE e.parent_id = ${i}.manifest_id), 0))::bigint`;

const platforms = (i: string) => `ARRAY(
  SELECT DISTINCT e.platform FROM edges e
  JOIN manifests c ON c.digest = e.child
  JOIN repository_manifests ch ON ch.repository_id = ${i}.repository_id AND ch.manifest_id = c.id
  WHERE e.parent_id = ${i}.manifest_id AND e.kind = 'manifest' AND e.platform IS NOT NULL
  ORDER BY 1)`;

const IMAGE_COLUMNS = `h.repository_id, h.manifest_id, m.size AS manifest_size, m.digest,
    coalesce(h.media_type, m.media_type) AS media_type, m.artifact_type, h.stored_at, h.last_access`;

const UNTAGGED_NAME = `('@' || ${digestText('m.digest')}) COLLATE "C"`;

/**
 * Images in the order of their names: repository by repository, so that a page reads no more of them than it shows. OFFSET 0
 * keeps the planner from joining whole tables first.
 */
const imagesByName = `
  SELECT r.upstream, r.path, i.name, r.upstream || '/' || r.path || CASE WHEN i.tagged THEN ':' ELSE '' END || i.name AS reference,
         i.repository_id, i.manifest_id, i.manifest_size, i.digest, i.media_type, i.artifact_type, i.stored_at, i.last_access
  FROM repositories r
  CROSS JOIN LATERAL (
    SELECT t.name, true AS tagged, ${IMAGE_COLUMNS}
    FROM tags t
    JOIN repository_manifests h ON h.repository_id = t.repository_id AND h.manifest_id = t.manifest_id
    JOIN manifests m ON m.id = h.manifest_id
    WHERE t.repository_id = r.id
    UNION ALL
    SELECT ${UNTAGGED_NAME}, false, ${IMAGE_COLUMNS}
    FROM repository_manifests h
    JOIN manifests m ON m.id = h.manifest_id
    WHERE h.repository_id = r.id AND ${UNNAMED}
    OFFSET 0
  ) i`;

/** Images in an order that manifests of repositories have an index for. */
const imagesByContent = `
  SELECT r.upstream, r.path, n.name, r.upstream || '/' || r.path || CASE WHEN n.tagged THEN ':' ELSE '' END || n.name AS reference,
         ${IMAGE_COLUMNS}
  FROM repository_manifests h
  JOIN repositories r ON r.id = h.repository_id
  JOIN manifests m ON m.id = h.manifest_id
  CROSS JOIN LATERAL (
    SELECT t.name, true AS tagged FROM tags t WHERE t.repository_id = h.repository_id AND t.manifest_id = h.manifest_id
    UNION ALL
    SELECT ${UNTAGGED_NAME}, false WHERE ${UNNAMED}
    OFFSET 0
  ) n`;

/** A platform of an image: of `repository_id, manifest_id`. */
export const NAMES_PLATFORM = `EXISTS (
      SELECT FROM edges e
      JOIN manifests c ON c.digest = e.child
      JOIN repository_manifests ch ON ch.repository_id = source.repository_id AND ch.manifest_id = c.id
      WHERE e.parent_id = source.manifest_id AND e.platform = ?)`;

/** `measured`: sizes are needed for every row, not only for those of the page. */
export function imageSource(measured: boolean, sort: string): ListSource {
  const images = sort === 'reference' ? imagesByName : imagesByContent;
  return {
    name: 'images',
    from: measured ? `SELECT image.*, ${imageSize('image')} AS size FROM (${images}) image` : images,
    select: `page.*, ${measured ? '' : `${imageSize('page')} AS size, `}${platforms('page')} AS platforms`,
    sorts: {
      reference: place,
      size: [number('size'), ...place],
      storedAt: [time('stored_at'), ...place],
      lastAccess: [time('last_access'), ...place],
    },
  };
}

const manifestKeys = [text('upstream'), text('path'), number('manifest_id')];

export const manifestSource: ListSource = {
  name: 'manifests',
  from: `
  SELECT r.upstream, r.path, r.upstream || '/' || r.path AS reference, m.size, m.subject, ${IMAGE_COLUMNS}
  FROM repositories r
  JOIN repository_manifests h ON h.repository_id = r.id
  JOIN manifests m ON m.id = h.manifest_id`,
  select: `page.*, ARRAY(
    SELECT t.name FROM tags t
    WHERE t.repository_id = page.repository_id AND t.manifest_id = page.manifest_id ORDER BY t.name LIMIT 100) AS tags`,
  sorts: {
    repository: manifestKeys,
    size: [number('size'), ...manifestKeys],
    storedAt: [time('stored_at'), ...manifestKeys],
    lastAccess: [time('last_access'), ...manifestKeys],
  },
};

export const tagSource: ListSource = {
  name: 'tags',
  from: `
  SELECT r.upstream, r.path, t.name, r.upstream || '/' || r.path || ':' || t.name AS reference, m.digest,
         coalesce(h.media_type, m.media_type) AS media_type, t.checked_at, t.moved_at, h.stored_at, h.last_access
  FROM repositories r
  JOIN tags t ON t.repository_id = r.id
  JOIN repository_manifests h ON h.repository_id = t.repository_id AND h.manifest_id = t.manifest_id
  JOIN manifests m ON m.id = t.manifest_id`,
  sorts: {
    reference: place,
    movedAt: [time('moved_at'), ...place],
    checkedAt: [time('checked_at'), ...place],
  },
};

export const blobSource: ListSource = {
  name: 'blobs',
  from: `SELECT b.id, b.digest, b.size, b.stored_at, b.last_access, ${digestText('b.digest')} AS reference FROM blobs b`,
  select: `page.*, (SELECT count(*) FROM repository_blobs h WHERE h.blob_id = page.id) AS repositories`,
  sorts: {
    digest: [bytes('digest')],
    size: [number('size'), bytes('digest')],
    storedAt: [time('stored_at'), bytes('digest')],
    lastAccess: [time('last_access'), bytes('digest')],
  },
};

export const pullSource: ListSource = {
  name: 'pulls',
  from: `
  SELECT key, target, state, attempt, worker, size, failure, coalesce(started_at, changed_at) AS started_at, changed_at,
         target->'repository'->>'upstream' AS upstream
  FROM pulls`,
  sorts: { changedAt: [time('changed_at'), text('key')] },
};
