import { batchStatement, EXPIRE_AT_MOST } from './statement.js';

// A step of a prune locks in the order of `facts.ts`: manifests, repository_manifests, tags, blobs, repository_blobs.
// What is accessed is compared with what the plan saw, or with `protect` ms before now.

const before = (ms: string) => `now() - ${ms}::float8 * interval '1 millisecond'`;

/** A held index of the same repository, other than those in `goner`, names `c` of repository `h`. */
const NAMED = `EXISTS (
    SELECT FROM edges e
    JOIN repository_manifests p ON p.repository_id = h.repository_id AND p.manifest_id = e.parent_id
    WHERE e.child = c.digest AND e.kind = 'manifest'
      AND NOT EXISTS (SELECT FROM goner g WHERE g.repository_id = p.repository_id AND g.manifest_id = p.manifest_id))`;

const TAGGED = `EXISTS (SELECT FROM tags t WHERE t.repository_id = h.repository_id AND t.manifest_id = h.manifest_id)`;

/** One pruner in the whole cluster; ends with the transaction. */
export const lockPruning = batchStatement('lockPruning', `SELECT pg_advisory_xact_lock(7265732101)`);

/**
 * $1 job. By repository, so that each step looks through few of them; what an index names after the indexes, so that it
 * goes as an image of its own.
 */
export const newItems = batchStatement(
  'newPruneItems',
  `
INSERT INTO prune_items (job_id, ordinal, repository_id, manifest_id, whole, tags, last_access)
SELECT $1, row_number() OVER (ORDER BY repository_id, named, manifest_id), repository_id, manifest_id, whole, tags, last_access
FROM (
  SELECT c.*, EXISTS (
    SELECT FROM manifests m
    JOIN edges e ON e.child = m.digest AND e.kind = 'manifest'
    JOIN repository_manifests p ON p.repository_id = c.repository_id AND p.manifest_id = e.parent_id
    WHERE m.id = c.manifest_id) AS named
  FROM prune_candidate c
) c`,
);

/** $1 job, $2 how many */
export const nextItems = batchStatement(
  'nextItems',
  `
SELECT i.ordinal, i.manifest_id FROM prune_items i JOIN prune_jobs j ON j.id = i.job_id AND j.state = 'running'
WHERE i.job_id = $1 ORDER BY i.ordinal LIMIT $2`,
);

/** $1 manifests. They and the children of those that are indexes. */
export const lockManifests = batchStatement(
  'lockManifests',
  `
SELECT m.id FROM manifests m
WHERE m.id = ANY ($1::bigint[]) OR m.id IN (
  SELECT c.id FROM edges e JOIN manifests c ON c.digest = e.child
  WHERE e.parent_id = ANY ($1::bigint[]) AND e.kind = 'manifest')
ORDER BY m.id FOR UPDATE OF m`,
);

/**
 * $1 job, $2 ordinals, $3 protect. Those that were not accessed since they were planned: gateways write in batches, so an access
 * from before the plan may be told after it.
 */
export const lockItems = batchStatement(
  'lockItems',
  `
SELECT i.ordinal, i.repository_id, i.manifest_id, i.whole
FROM prune_items i
JOIN repository_manifests h ON h.repository_id = i.repository_id AND h.manifest_id = i.manifest_id
WHERE i.job_id = $1 AND i.ordinal = ANY ($2::bigint[])
  AND h.last_access <= greatest(i.last_access, (SELECT j.created_at FROM prune_jobs j WHERE j.id = $1))
  AND h.last_access <= ${before('$3')}
  AND NOT EXISTS (
    SELECT FROM edges e
    JOIN manifests c ON c.digest = e.child
    JOIN repository_manifests ch ON ch.repository_id = i.repository_id AND ch.manifest_id = c.id
    WHERE e.parent_id = i.manifest_id AND e.kind = 'manifest' AND ch.last_access > ${before('$3')})
ORDER BY i.repository_id, i.manifest_id FOR UPDATE OF h`,
);

/** $1 job, $2 ordinals */
export const removeTags = batchStatement(
  'removeTags',
  `
DELETE FROM tags t USING prune_items i
WHERE i.job_id = $1 AND i.ordinal = ANY ($2::bigint[])
  AND t.repository_id = i.repository_id AND t.manifest_id = i.manifest_id AND t.name = ANY (i.tags)`,
);

/** $1 repositories, $2 manifests. Those that neither a tag nor an index names now. */
export const unnamed = batchStatement(
  'unnamed',
  `
WITH goner AS (
  SELECT * FROM unnest($1::bigint[], $2::bigint[]) AS g(repository_id, manifest_id)
)
SELECT h.repository_id, h.manifest_id FROM goner h JOIN manifests c ON c.id = h.manifest_id
WHERE NOT ${TAGGED} AND NOT ${NAMED}`,
);

/** $1 repositories, $2 manifests, all that go so far; $3 protect. What of their children nothing else names. */
export const unnamedChildren = batchStatement(
  'unnamedChildren',
  `
WITH goner AS (
  SELECT * FROM unnest($1::bigint[], $2::bigint[]) AS g(repository_id, manifest_id)
), child AS (
  SELECT DISTINCT g.repository_id, c.id AS manifest_id, c.digest
  FROM goner g JOIN edges e ON e.parent_id = g.manifest_id AND e.kind = 'manifest' JOIN manifests c ON c.digest = e.child
)
SELECT h.repository_id, h.manifest_id
FROM child c
JOIN repository_manifests h ON h.repository_id = c.repository_id AND h.manifest_id = c.manifest_id
WHERE h.last_access <= ${before('$3')} AND NOT ${TAGGED} AND NOT ${NAMED}
  AND NOT EXISTS (SELECT FROM goner g WHERE g.repository_id = h.repository_id AND g.manifest_id = h.manifest_id)
ORDER BY h.repository_id, h.manifest_id FOR UPDATE OF h`,
);

/** $1 repositories, $2 manifests */
export const removeHeld = batchStatement(
  'removeHeld',
  `
WITH removed AS (
  DELETE FROM repository_manifests h USING unnest($1::bigint[], $2::bigint[]) AS g(repository_id, manifest_id)
  WHERE h.repository_id = g.repository_id AND h.manifest_id = g.manifest_id
  RETURNING h.repository_id, h.manifest_id
)
SELECT r.upstream, r.path, m.digest
FROM removed d JOIN repositories r ON r.id = d.repository_id JOIN manifests m ON m.id = d.manifest_id`,
);

/**
 * $1 repositories, $2 manifests that were removed from them, $3 protect. What no manifest of the repository needs any
 * more. A repository's own manifests are looked through, since a few layers are in nearly every manifest there is.
 */
export const removeHeldBlobs = batchStatement(
  'removeHeldBlobs',
  `
WITH goner AS (
  SELECT * FROM unnest($1::bigint[], $2::bigint[]) AS g(repository_id, manifest_id)
), child AS MATERIALIZED (
  SELECT DISTINCT g.repository_id, b.id AS blob_id, b.digest
  FROM goner g
  JOIN edges e ON e.parent_id = g.manifest_id AND e.kind <> 'manifest'
  JOIN blobs b ON b.digest = e.child
  WHERE b.last_access <= ${before('$3')}
), needed AS MATERIALIZED (
  SELECT DISTINCT h.repository_id, e.child
  FROM (SELECT DISTINCT repository_id FROM goner) r
  JOIN repository_manifests h ON h.repository_id = r.repository_id
  JOIN edges e ON e.parent_id = h.manifest_id AND e.kind <> 'manifest'
), removed AS (
  DELETE FROM repository_blobs h USING child c
  WHERE h.blob_id = c.blob_id AND h.repository_id = c.repository_id
    AND NOT EXISTS (SELECT FROM needed n WHERE n.repository_id = c.repository_id AND n.child = c.digest)
  RETURNING h.repository_id, c.digest
)
SELECT r.upstream, r.path, d.digest FROM removed d JOIN repositories r ON r.id = d.repository_id`,
);

/** $1 manifests */
export const removeManifests = batchStatement(
  'removeManifests',
  `
WITH removed AS (
  DELETE FROM manifests m
  WHERE m.id = ANY ($1::bigint[]) AND NOT EXISTS (SELECT FROM repository_manifests h WHERE h.manifest_id = m.id)
  RETURNING m.size
)
SELECT count(*) AS count, coalesce(sum(size), 0) AS bytes FROM removed`,
);

/** $1 digests */
export const unheldBlobs = batchStatement(
  'unheldBlobs',
  `
SELECT b.digest FROM blobs b
WHERE b.digest = ANY ($1::bytea[]) AND NOT EXISTS (SELECT FROM repository_blobs h WHERE h.blob_id = b.id)`,
);

/** $1 digests */
export const removeUnheldBlobs = batchStatement(
  'removeUnheldBlobs',
  `
WITH removed AS (
  DELETE FROM blobs b
  WHERE b.digest = ANY ($1::bytea[]) AND NOT EXISTS (SELECT FROM repository_blobs h WHERE h.blob_id = b.id)
  RETURNING b.size
)
SELECT count(*) AS count, coalesce(sum(size), 0) AS bytes FROM removed`,
);

/** $1 job, $2 ordinals */
export const removeItems = batchStatement(
  'removeItems',
  `DELETE FROM prune_items WHERE job_id = $1 AND ordinal = ANY ($2::bigint[])`,
);

/** $1 job, $2 images, $3 tags, $4 manifests, $5 blobs, $6 bytes */
export const addRemoved = batchStatement(
  'addRemoved',
  `
UPDATE prune_jobs SET removed = jsonb_build_object(
  'images', (removed->>'images')::bigint + $2::bigint, 'tags', (removed->>'tags')::bigint + $3::bigint,
  'manifests', (removed->>'manifests')::bigint + $4::bigint, 'blobs', (removed->>'blobs')::bigint + $5::bigint,
  'bytes', (removed->>'bytes')::bigint + $6::bigint)
WHERE id = $1`,
);

/** $1 ms, $2 how many. Blobs of a repository that none of its manifests needs and that nobody has asked for. */
export const removeStrays = batchStatement(
  'removeStrays',
  `
WITH stray AS (
  SELECT h.blob_id, h.repository_id
  FROM repository_blobs h JOIN blobs b ON b.id = h.blob_id
  WHERE b.last_access <= ${before('$1')} AND b.stored_at <= ${before('$1')}
    AND NOT EXISTS (
      SELECT FROM (
        SELECT n.repository_id, e.child FROM repository_manifests n
        JOIN edges e ON e.parent_id = n.manifest_id AND e.kind <> 'manifest'
      ) needed WHERE needed.repository_id = h.repository_id AND needed.child = b.digest)
  LIMIT $2
)
DELETE FROM repository_blobs h USING stray s WHERE h.blob_id = s.blob_id AND h.repository_id = s.repository_id`,
);

/** $1 digest. What was used a moment ago is no stray. */
export const useBlob = batchStatement('useBlob', `UPDATE blobs SET last_access = clock_timestamp() WHERE digest = $1`);

/** $1 upstream, $2 path */
export const letGoBlobs = batchStatement(
  'letGoBlobs',
  `
DELETE FROM repository_blobs h USING repositories r
WHERE r.id = h.repository_id AND r.upstream = $1 AND r.path = $2`,
);

/** $1 upstream, $2 path */
export const removeHold = batchStatement('removeHold', `DELETE FROM repositories WHERE upstream = $1 AND path = $2`);

/** $1 how many */
export const findUnheld = batchStatement(
  'findUnheld',
  `
SELECT b.digest FROM blobs b
WHERE NOT EXISTS (SELECT FROM repository_blobs h WHERE h.blob_id = b.id) ORDER BY b.id LIMIT $1`,
);

const JOB = 'id, cause, rule, state, created_at, finished_at, planned, removed, error';

/** $1 cause, $2 rule, $3 planned, $4 removed */
export const newJob = batchStatement(
  'newPruneJob',
  `
INSERT INTO prune_jobs (cause, rule, state, created_at, planned, removed)
VALUES ($1, $2::jsonb, 'planned', clock_timestamp(), $3::jsonb, $4::jsonb)
RETURNING ${JOB}`,
);

/** $1 id */
export const findJob = batchStatement('findPruneJob', `SELECT ${JOB} FROM prune_jobs WHERE id = $1`);

/** $1 how many, $2 below this id, or null */
export const listJobs = batchStatement(
  'listPruneJobs',
  `SELECT ${JOB} FROM prune_jobs WHERE $2::bigint IS NULL OR id < $2::bigint ORDER BY id DESC LIMIT $1`,
);

export const runningJob = batchStatement(
  'runningPruneJob',
  `SELECT ${JOB} FROM prune_jobs WHERE state = 'running' ORDER BY id LIMIT 1`,
);

/** $1 id, $2 state, $3 error, $4 states before */
export const turnJob = batchStatement(
  'turnPruneJob',
  `
UPDATE prune_jobs SET state = $2, error = $3,
  finished_at = CASE WHEN $2 = 'running' THEN NULL ELSE clock_timestamp() END
WHERE id = $1 AND state = ANY ($4::text[])`,
);

/** $1 id */
export const dropItems = batchStatement('dropPruneItems', `DELETE FROM prune_items WHERE job_id = $1`);

/** $1 job, $2 how many, $3 after this ordinal */
export const listItems = batchStatement(
  'listPruneItems',
  `
SELECT i.ordinal, r.upstream, r.path, m.digest, i.tags, i.whole, i.last_access
FROM prune_items i JOIN repositories r ON r.id = i.repository_id JOIN manifests m ON m.id = i.manifest_id
WHERE i.job_id = $1 AND i.ordinal > $3 ORDER BY i.ordinal LIMIT $2`,
);

/** $1 ms */
export const expireJobs = batchStatement(
  'expirePruneJobs',
  `
WITH old AS MATERIALIZED (
  SELECT id FROM prune_jobs
  WHERE state <> 'running' AND coalesce(finished_at, created_at) < ${before('$1')}
  ORDER BY id LIMIT ${EXPIRE_AT_MOST}
)
DELETE FROM prune_jobs j USING old WHERE j.id = old.id`,
);
