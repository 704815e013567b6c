-- catalog.addRemoved
UPDATE prune_jobs SET removed = jsonb_build_object(
  'images', (removed->>'images')::bigint + $2::bigint, 'tags', (removed->>'tags')::bigint + $3::bigint,
  'manifests', (removed->>'manifests')::bigint + $4::bigint, 'blobs', (removed->>'blobs')::bigint + $5::bigint,
  'bytes', (removed->>'bytes')::bigint + $6::bigint)
WHERE id = $1;

-- catalog.addUsage
INSERT INTO usage AS u (at, upstream, kind, hits, misses, failures, bytes_served, bytes_fetched, upstream_requests)
SELECT date_bin('5 minutes', now(), 'epoch'), i.*
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
  AS i(upstream, kind, hits, misses, failures, bytes_served, bytes_fetched, upstream_requests)
ORDER BY i.upstream COLLATE "C", i.kind COLLATE "C"
ON CONFLICT (at, upstream, kind) DO UPDATE SET
  hits = u.hits + excluded.hits,
  misses = u.misses + excluded.misses,
  failures = u.failures + excluded.failures,
  bytes_served = u.bytes_served + excluded.bytes_served,
  bytes_fetched = u.bytes_fetched + excluded.bytes_fetched,
  upstream_requests = u.upstream_requests + excluded.upstream_requests;

-- catalog.announcePulls
WITH item AS (
  SELECT * FROM unnest($1::text[], $2::text[], $3::integer[], $4::bigint[], $5::text[], $6::bigint[]) AS i(key, worker, attempt, token, relay, size)
), locked AS (
  SELECT i.* FROM item i JOIN pulls p ON p.key = i.key
  WHERE p.state = 'running' AND p.worker = i.worker AND p.attempt = i.attempt AND (i.token IS NULL OR p.token = i.token)
  ORDER BY p.key FOR NO KEY UPDATE OF p
)
UPDATE pulls p SET relay = i.relay::jsonb, size = i.size, changed_at = clock_timestamp() FROM locked i WHERE p.key = i.key
RETURNING p.key;

-- catalog.blobHolders
SELECT r.upstream, r.path FROM blobs b
JOIN repository_blobs h ON h.blob_id = b.id
JOIN repositories r ON r.id = h.repository_id
WHERE b.digest = $1 ORDER BY r.upstream, r.path;

-- catalog.checkManifest
SELECT digest, size, CASE octet_length(digest) WHEN 32 THEN sha256(bytes) ELSE sha512(bytes) END = digest AS intact FROM manifests WHERE digest = $1;

-- catalog.checkManifests
SELECT id, digest, size, CASE octet_length(digest) WHEN 32 THEN sha256(bytes) ELSE sha512(bytes) END = digest AS intact FROM manifests WHERE id > $1 ORDER BY id LIMIT $2;

-- catalog.claimPulls
INSERT INTO pulls AS p (key, target, state, attempt, token, worker, lease_until, changed_at, started_at)
SELECT i.key, i.target::jsonb, 'running', 1, nextval('pull_token'), i.worker,
       clock_timestamp() + i.lease * interval '1 millisecond', clock_timestamp(), clock_timestamp()
FROM unnest($1::text[], $2::text[], $3::text[], $4::float8[]) AS i(key, target, worker, lease)
ORDER BY i.key COLLATE "C"
ON CONFLICT (key) DO UPDATE SET
  target = excluded.target,
  state = 'running',
  attempt = CASE p.state WHEN 'finished' THEN 1 ELSE p.attempt + 1 END,
  token = excluded.token,
  worker = excluded.worker,
  lease_until = excluded.lease_until,
  changed_at = excluded.changed_at,
  relay = NULL,
  size = NULL,
  failure = NULL,
  previous_failure = CASE p.state WHEN 'finished' THEN p.failure ELSE p.previous_failure END,
  previous_at = CASE p.state WHEN 'finished' THEN p.changed_at ELSE p.previous_at END,
  started_at = CASE p.state WHEN 'finished' THEN excluded.started_at ELSE p.started_at END
WHERE p.state = 'finished' OR p.lease_until <= clock_timestamp()
RETURNING key, attempt, token, previous_failure,
  (extract(epoch FROM clock_timestamp() - previous_at) * 1000)::float8 AS previous_age;

-- catalog.confirmTag
WITH held AS (
  SELECT h.repository_id, h.manifest_id, m.digest
  FROM manifests m
  JOIN repositories r ON r.upstream = $1 AND r.path = $2
  JOIN repository_manifests h ON h.repository_id = r.id AND h.manifest_id = m.id
  WHERE m.digest = $3
),
named AS (
  INSERT INTO tags AS t (repository_id, name, manifest_id, checked_at, moved_at)
  SELECT h.repository_id, $4::text, h.manifest_id, clock.now, clock.now
  FROM held h, (SELECT clock_timestamp() AS now) clock
  WHERE $4::text IS NOT NULL
  ON CONFLICT (repository_id, name) DO UPDATE SET
    manifest_id = excluded.manifest_id,
    checked_at = excluded.checked_at,
    moved_at = CASE WHEN t.manifest_id = excluded.manifest_id THEN t.moved_at ELSE excluded.moved_at END
  RETURNING repository_id, name, checked_at, moved_at = checked_at AS moved
), history AS (
  INSERT INTO tag_history (repository_id, name, digest, at)
  SELECT n.repository_id, n.name, h.digest, n.checked_at FROM named n, held h WHERE n.moved
)
SELECT EXISTS (SELECT FROM named) AS confirmed;

-- catalog.counts
SELECT (SELECT count(*) FROM repositories r
        WHERE EXISTS (SELECT FROM repository_manifests h WHERE h.repository_id = r.id)) AS repositories,
       coalesce(sum(count) FILTER (WHERE kind = 'manifests'), 0) AS manifests,
       coalesce(sum(bytes) FILTER (WHERE kind = 'manifests'), 0) AS manifest_bytes,
       coalesce(sum(count) FILTER (WHERE kind = 'blobs'), 0) AS blobs,
       coalesce(sum(bytes) FILTER (WHERE kind = 'blobs'), 0) AS blob_bytes,
       coalesce(sum(count) FILTER (WHERE kind = 'tags'), 0) AS tags
FROM totals;

-- catalog.dropManifest
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
ORDER BY h.upstream, h.path, t.name;

-- catalog.dropPruneItems
DELETE FROM prune_items WHERE job_id = $1;

-- catalog.endDuty
UPDATE duties SET lease_until = clock_timestamp(), done_at = CASE WHEN $3::boolean THEN clock_timestamp() ELSE done_at END
WHERE name = $1 AND holder = $2 AND lease_until > clock_timestamp();

-- catalog.endLostPulls
WITH lost AS MATERIALIZED (
  SELECT key FROM pulls
  WHERE state = 'running' AND lease_until < clock_timestamp() - $1::float8 * interval '1 millisecond'
    AND key <> ALL ($2::text[])
  ORDER BY key COLLATE "C" LIMIT 1000
  FOR UPDATE SKIP LOCKED
)
UPDATE pulls p SET state = 'finished', failure = $3::jsonb, relay = NULL, changed_at = clock_timestamp()
FROM lost WHERE p.key = lost.key;

-- catalog.expirePruneJobs
WITH old AS MATERIALIZED (
  SELECT id FROM prune_jobs
  WHERE state <> 'running' AND coalesce(finished_at, created_at) < now() - $1::float8 * interval '1 millisecond'
  ORDER BY id LIMIT 1000
)
DELETE FROM prune_jobs j USING old WHERE j.id = old.id;

-- catalog.expirePulls
WITH old AS MATERIALIZED (
  SELECT key FROM pulls
  WHERE changed_at < now() - $1::float8 * interval '1 millisecond' AND state = 'finished'
  ORDER BY changed_at LIMIT 1000
  FOR UPDATE SKIP LOCKED
)
DELETE FROM pulls p USING old WHERE p.key = old.key;

-- catalog.expireTagHistory
WITH old AS MATERIALIZED (
  SELECT h.id FROM tag_history h
  WHERE h.at < now() - $1::float8 * interval '1 millisecond'
    AND EXISTS (SELECT FROM tag_history n WHERE n.repository_id = h.repository_id AND n.name = h.name AND n.at > h.at)
  ORDER BY h.at LIMIT 1000
)
DELETE FROM tag_history h USING old WHERE h.id = old.id;

-- catalog.expireUsage
DELETE FROM usage WHERE at < now() - $1::float8 * interval '1 millisecond';

-- catalog.findBlob
SELECT b.size
FROM blobs b
JOIN repositories r ON r.upstream = $1 AND r.path = $2
JOIN repository_blobs h ON h.blob_id = b.id AND h.repository_id = r.id
WHERE b.digest = $3;

-- catalog.findHeldReferrers
SELECT m.digest, coalesce(h.media_type, m.media_type) AS media_type, m.size, m.artifact_type, m.annotations
FROM manifests m
JOIN repositories r ON r.upstream = $1 AND r.path = $2
JOIN repository_manifests h ON h.repository_id = r.id AND h.manifest_id = m.id
LEFT JOIN referrer_lists l ON l.repository_id = r.id AND l.subject = m.subject
WHERE m.subject = $3 AND (l.checked_at IS NULL OR h.stored_at > l.checked_at)
LIMIT 10000;

-- catalog.findHolders
SELECT key, worker, (extract(epoch FROM lease_until - clock_timestamp()) * 1000)::float8 AS remaining
FROM pulls WHERE key = ANY ($1::text[]);

-- catalog.findInstallation
SELECT id FROM installation;

-- catalog.findLostPulls
SELECT key, attempt FROM pulls WHERE state = 'running';

-- catalog.findManifest
SELECT coalesce(h.media_type, m.media_type) AS media_type, m.bytes
FROM manifests m
JOIN repositories r ON r.upstream = $1 AND r.path = $2
JOIN repository_manifests h ON h.repository_id = r.id AND h.manifest_id = m.id
WHERE m.digest = $3;

-- catalog.findPruneJob
SELECT id, cause, rule, state, created_at, finished_at, planned, removed, error FROM prune_jobs WHERE id = $1;

-- catalog.findPull
SELECT key, target, state, attempt, worker, relay, size, failure,
       (extract(epoch FROM lease_until - clock_timestamp()) * 1000)::float8 AS lease_remaining,
       (extract(epoch FROM clock_timestamp() - changed_at) * 1000)::float8 AS age
FROM pulls WHERE key = $1;

-- catalog.findReferrerList
SELECT l.descriptors, (extract(epoch FROM clock_timestamp() - l.checked_at) * 1000)::float8 AS age
FROM repositories r JOIN referrer_lists l ON l.repository_id = r.id
WHERE r.upstream = $1 AND r.path = $2 AND l.subject = $3;

-- catalog.findTag
SELECT m.digest, coalesce(h.media_type, m.media_type) AS media_type, m.bytes,
       (extract(epoch FROM clock_timestamp() - t.checked_at) * 1000)::float8 AS age
FROM repositories r
JOIN tags t ON t.repository_id = r.id
JOIN repository_manifests h ON h.repository_id = t.repository_id AND h.manifest_id = t.manifest_id
JOIN manifests m ON m.id = t.manifest_id
WHERE r.upstream = $1 AND r.path = $2 AND t.name = $3;

-- catalog.findTags
SELECT l.names, (extract(epoch FROM clock_timestamp() - l.checked_at) * 1000)::float8 AS age,
       ARRAY(SELECT t.name FROM tags t
             WHERE t.repository_id = r.id AND (l.checked_at IS NULL OR t.checked_at > l.checked_at)) AS held
FROM repositories r LEFT JOIN tag_lists l ON l.repository_id = r.id
WHERE r.upstream = $1 AND r.path = $2;

-- catalog.findUnheld
SELECT b.digest FROM blobs b
WHERE NOT EXISTS (SELECT FROM repository_blobs h WHERE h.blob_id = b.id) ORDER BY b.id LIMIT $1;

-- catalog.finishPulls
WITH item AS (
  SELECT * FROM unnest($1::text[], $2::text[], $3::integer[], $4::bigint[], $5::text[]) AS i(key, worker, attempt, token, failure)
), locked AS (
  SELECT i.* FROM item i JOIN pulls p ON p.key = i.key
  WHERE p.state = 'running' AND p.worker = i.worker AND p.attempt = i.attempt AND (i.token IS NULL OR p.token = i.token)
  ORDER BY p.key FOR NO KEY UPDATE OF p
)
UPDATE pulls p SET state = 'finished', failure = i.failure::jsonb, relay = NULL, changed_at = clock_timestamp()
FROM locked i WHERE p.key = i.key
RETURNING p.key;

-- catalog.foldTotals
WITH gone AS (
  DELETE FROM totals WHERE (SELECT count(*) > 100 FROM totals) RETURNING kind, count, bytes
)
INSERT INTO totals (kind, count, bytes)
SELECT kind, sum(count), sum(bytes) FROM gone GROUP BY kind ORDER BY kind;

-- catalog.forgetBlob
DELETE FROM blobs WHERE digest = $1;

-- catalog.imageContents
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
ORDER BY m.id, e.ordinal LIMIT 10000;

-- catalog.imageTree
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
ORDER BY t.depth, t.ordinal LIMIT 1000;

-- catalog.knowBlobs
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
FROM unnest($1::text[], $2::text[], $3::bytea[]) WITH ORDINALITY AS i(upstream, path, digest, place);

-- catalog.letGoBlobs
DELETE FROM repository_blobs h USING repositories r
WHERE r.id = h.repository_id AND r.upstream = $1 AND r.path = $2;

-- catalog.listPruneItems
SELECT i.ordinal, r.upstream, r.path, m.digest, i.tags, i.whole, i.last_access
FROM prune_items i JOIN repositories r ON r.id = i.repository_id JOIN manifests m ON m.id = i.manifest_id
WHERE i.job_id = $1 AND i.ordinal > $3 ORDER BY i.ordinal LIMIT $2;

-- catalog.listPruneJobs
SELECT id, cause, rule, state, created_at, finished_at, planned, removed, error FROM prune_jobs WHERE $2::bigint IS NULL OR id < $2::bigint ORDER BY id DESC LIMIT $1;

-- catalog.listRepositories
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
LIMIT $5::integer;

-- catalog.listUpstreams
SELECT upstream, pause_cause, paused_counted, quota,
       (extract(epoch FROM paused_until - clock_timestamp()) * 1000)::float8 AS pause_remaining,
       (extract(epoch FROM failing_until - clock_timestamp()) * 1000)::float8 AS failing_for,
       (extract(epoch FROM clock_timestamp() - quota_at) * 1000)::float8 AS quota_age
FROM upstreams ORDER BY upstream;

-- catalog.lockItems
SELECT i.ordinal, i.repository_id, i.manifest_id, i.whole
FROM prune_items i
JOIN repository_manifests h ON h.repository_id = i.repository_id AND h.manifest_id = i.manifest_id
WHERE i.job_id = $1 AND i.ordinal = ANY ($2::bigint[])
  AND h.last_access <= greatest(i.last_access, (SELECT j.created_at FROM prune_jobs j WHERE j.id = $1))
  AND h.last_access <= now() - $3::float8 * interval '1 millisecond'
  AND NOT EXISTS (
    SELECT FROM edges e
    JOIN manifests c ON c.digest = e.child
    JOIN repository_manifests ch ON ch.repository_id = i.repository_id AND ch.manifest_id = c.id
    WHERE e.parent_id = i.manifest_id AND e.kind = 'manifest' AND ch.last_access > now() - $3::float8 * interval '1 millisecond')
ORDER BY i.repository_id, i.manifest_id FOR UPDATE OF h;

-- catalog.lockManifests
SELECT m.id FROM manifests m
WHERE m.id = ANY ($1::bigint[]) OR m.id IN (
  SELECT c.id FROM edges e JOIN manifests c ON c.digest = e.child
  WHERE e.parent_id = ANY ($1::bigint[]) AND e.kind = 'manifest')
ORDER BY m.id FOR UPDATE OF m;

-- catalog.lockPruning
SELECT pg_advisory_xact_lock(7265732101);

-- catalog.newPruneItems
INSERT INTO prune_items (job_id, ordinal, repository_id, manifest_id, whole, tags, last_access)
SELECT $1, row_number() OVER (ORDER BY repository_id, named, manifest_id), repository_id, manifest_id, whole, tags, last_access
FROM (
  SELECT c.*, EXISTS (
    SELECT FROM manifests m
    JOIN edges e ON e.child = m.digest AND e.kind = 'manifest'
    JOIN repository_manifests p ON p.repository_id = c.repository_id AND p.manifest_id = e.parent_id
    WHERE m.id = c.manifest_id) AS named
  FROM prune_candidate c
) c;

-- catalog.newPruneJob
INSERT INTO prune_jobs (cause, rule, state, created_at, planned, removed)
VALUES ($1, $2::jsonb, 'planned', clock_timestamp(), $3::jsonb, $4::jsonb)
RETURNING id, cause, rule, state, created_at, finished_at, planned, removed, error;

-- catalog.nextItems
SELECT i.ordinal, i.manifest_id FROM prune_items i JOIN prune_jobs j ON j.id = i.job_id AND j.state = 'running'
WHERE i.job_id = $1 ORDER BY i.ordinal LIMIT $2;

-- catalog.pageBlobs
SELECT digest, size FROM blobs WHERE digest > $1 ORDER BY digest LIMIT $2;

-- catalog.pageGrants
SELECT h.blob_id, h.repository_id, r.upstream, r.path, b.digest, b.size
FROM (
  SELECT blob_id, repository_id FROM repository_blobs
  WHERE (blob_id, repository_id) > ($1::bigint, $2::bigint) ORDER BY blob_id, repository_id LIMIT $3
) h
JOIN repositories r ON r.id = h.repository_id
JOIN blobs b ON b.id = h.blob_id
ORDER BY h.blob_id, h.repository_id;

-- catalog.pageManifests
SELECT h.repository_id, h.manifest_id, r.upstream, r.path, m.digest, coalesce(h.media_type, m.media_type) AS media_type, m.bytes
FROM (
  SELECT repository_id, manifest_id, media_type FROM repository_manifests
  WHERE (repository_id, manifest_id) > ($1::bigint, $2::bigint) ORDER BY repository_id, manifest_id LIMIT $3
) h
JOIN repositories r ON r.id = h.repository_id
JOIN manifests m ON m.id = h.manifest_id
ORDER BY h.repository_id, h.manifest_id;

-- catalog.pageTags
SELECT t.repository_id, t.name, r.upstream, r.path, m.digest, t.checked_at, t.moved_at
FROM (
  SELECT repository_id, name, manifest_id, checked_at, moved_at FROM tags
  WHERE (repository_id, name) > ($1::bigint, $2::text COLLATE "C") ORDER BY repository_id, name LIMIT $3
) t
JOIN repositories r ON r.id = t.repository_id
JOIN manifests m ON m.id = t.manifest_id
ORDER BY t.repository_id, t.name;

-- catalog.pauseUpstream
INSERT INTO upstreams AS u (upstream, paused_until, pause_cause, paused_counted)
VALUES ($1, clock_timestamp() + $2::float8 * interval '1 millisecond', $3, $4)
ON CONFLICT (upstream) DO UPDATE SET
  paused_until = excluded.paused_until, pause_cause = excluded.pause_cause, paused_counted = excluded.paused_counted
WHERE excluded.pause_cause = 'manual' OR u.paused_until IS NULL OR u.paused_until < excluded.paused_until
   OR (u.paused_counted AND NOT excluded.paused_counted);

-- catalog.ping
SELECT 1;

-- catalog.recordPulls
INSERT INTO pulls AS p (key, target, state, attempt, token, worker, lease_until, changed_at, started_at, relay, size,
                        failure, previous_failure, previous_at)
SELECT i.key, i.target::jsonb, i.state, i.attempt, nextval('pull_token'), i.worker,
       c.now + i.lease * interval '1 millisecond', c.now - i.changed * interval '1 millisecond',
       c.now - i.started * interval '1 millisecond', i.relay::jsonb, i.size, i.failure::jsonb, i.previous::jsonb,
       c.now - i.previous_age * interval '1 millisecond'
FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::float8[], $7::float8[], $8::float8[],
            $9::text[], $10::bigint[], $11::text[], $12::text[], $13::float8[])
       AS i(key, target, state, attempt, worker, lease, changed, started, relay, size, failure, previous, previous_age),
     (SELECT clock_timestamp() AS now) c
ORDER BY i.key COLLATE "C"
ON CONFLICT (key) DO UPDATE SET
  target = excluded.target,
  state = excluded.state,
  attempt = excluded.attempt,
  token = excluded.token,
  worker = excluded.worker,
  lease_until = excluded.lease_until,
  changed_at = excluded.changed_at,
  started_at = CASE p.state WHEN 'finished' THEN excluded.started_at ELSE p.started_at END,
  relay = excluded.relay,
  size = excluded.size,
  failure = excluded.failure,
  previous_failure = CASE WHEN excluded.previous_at IS NOT NULL THEN excluded.previous_failure
                          WHEN p.state = 'finished' THEN p.failure ELSE p.previous_failure END,
  previous_at = CASE WHEN excluded.previous_at IS NOT NULL THEN excluded.previous_at
                     WHEN p.state = 'finished' THEN p.changed_at ELSE p.previous_at END;

-- catalog.releasePulls
WITH item AS (
  SELECT * FROM unnest($1::text[], $2::text[], $3::integer[], $4::bigint[]) AS i(key, worker, attempt, token)
), locked AS (
  SELECT i.* FROM item i JOIN pulls p ON p.key = i.key
  WHERE p.state = 'running' AND p.worker = i.worker AND p.attempt = i.attempt AND (i.token IS NULL OR p.token = i.token)
  ORDER BY p.key FOR NO KEY UPDATE OF p
)
DELETE FROM pulls p USING locked i WHERE p.key = i.key
RETURNING p.key;

-- catalog.removeHeld
WITH removed AS (
  DELETE FROM repository_manifests h USING unnest($1::bigint[], $2::bigint[]) AS g(repository_id, manifest_id)
  WHERE h.repository_id = g.repository_id AND h.manifest_id = g.manifest_id
  RETURNING h.repository_id, h.manifest_id
)
SELECT r.upstream, r.path, m.digest
FROM removed d JOIN repositories r ON r.id = d.repository_id JOIN manifests m ON m.id = d.manifest_id;

-- catalog.removeHeldBlobs
WITH goner AS (
  SELECT * FROM unnest($1::bigint[], $2::bigint[]) AS g(repository_id, manifest_id)
), child AS MATERIALIZED (
  SELECT DISTINCT g.repository_id, b.id AS blob_id, b.digest
  FROM goner g
  JOIN edges e ON e.parent_id = g.manifest_id AND e.kind <> 'manifest'
  JOIN blobs b ON b.digest = e.child
  WHERE b.last_access <= now() - $3::float8 * interval '1 millisecond'
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
SELECT r.upstream, r.path, d.digest FROM removed d JOIN repositories r ON r.id = d.repository_id;

-- catalog.removeHold
DELETE FROM repositories WHERE upstream = $1 AND path = $2;

-- catalog.removeItems
DELETE FROM prune_items WHERE job_id = $1 AND ordinal = ANY ($2::bigint[]);

-- catalog.removeManifests
WITH removed AS (
  DELETE FROM manifests m
  WHERE m.id = ANY ($1::bigint[]) AND NOT EXISTS (SELECT FROM repository_manifests h WHERE h.manifest_id = m.id)
  RETURNING m.size
)
SELECT count(*) AS count, coalesce(sum(size), 0) AS bytes FROM removed;

-- catalog.removePull
DELETE FROM pulls WHERE key = $1;

-- catalog.removeStrays
WITH stray AS (
  SELECT h.blob_id, h.repository_id
  FROM repository_blobs h JOIN blobs b ON b.id = h.blob_id
  WHERE b.last_access <= now() - $1::float8 * interval '1 millisecond' AND b.stored_at <= now() - $1::float8 * interval '1 millisecond'
    AND NOT EXISTS (
      SELECT FROM (
        SELECT n.repository_id, e.child FROM repository_manifests n
        JOIN edges e ON e.parent_id = n.manifest_id AND e.kind <> 'manifest'
      ) needed WHERE needed.repository_id = h.repository_id AND needed.child = b.digest)
  LIMIT $2
)
DELETE FROM repository_blobs h USING stray s WHERE h.blob_id = s.blob_id AND h.repository_id = s.repository_id;

-- catalog.removeTag
WITH removed AS (
  DELETE FROM tags t USING repositories r
  WHERE r.upstream = $1 AND r.path = $2 AND t.repository_id = r.id AND t.name = $3
  RETURNING t.repository_id, t.name
)
INSERT INTO tag_history (repository_id, name, digest, at)
SELECT repository_id, name, NULL, clock_timestamp() FROM removed;

-- catalog.removeTags
DELETE FROM tags t USING prune_items i
WHERE i.job_id = $1 AND i.ordinal = ANY ($2::bigint[])
  AND t.repository_id = i.repository_id AND t.manifest_id = i.manifest_id AND t.name = ANY (i.tags);

-- catalog.removeUnheldBlobs
WITH removed AS (
  DELETE FROM blobs b
  WHERE b.digest = ANY ($1::bytea[]) AND NOT EXISTS (SELECT FROM repository_blobs h WHERE h.blob_id = b.id)
  RETURNING b.size
)
SELECT count(*) AS count, coalesce(sum(size), 0) AS bytes FROM removed;

-- catalog.renewDuty
UPDATE duties SET lease_until = clock_timestamp() + $3::float8 * interval '1 millisecond'
WHERE name = $1 AND holder = $2 AND lease_until > clock_timestamp();

-- catalog.renewPulls
WITH item AS (
  SELECT * FROM unnest($1::text[], $2::text[], $3::integer[], $4::bigint[], $5::float8[]) AS i(key, worker, attempt, token, lease)
), locked AS (
  SELECT i.* FROM item i JOIN pulls p ON p.key = i.key
  WHERE p.state = 'running' AND p.worker = i.worker AND p.attempt = i.attempt AND (i.token IS NULL OR p.token = i.token)
  ORDER BY p.key FOR NO KEY UPDATE OF p
)
UPDATE pulls p SET lease_until = clock_timestamp() + i.lease * interval '1 millisecond' FROM locked i WHERE p.key = i.key
RETURNING p.key;

-- catalog.reportUpstream
INSERT INTO upstreams AS u (upstream, paused_counted, failing_until, quota, quota_at)
VALUES ($1, false, clock_timestamp() + $2::float8 * interval '1 millisecond', $3::jsonb,
        CASE WHEN $3::jsonb IS NULL THEN NULL ELSE clock_timestamp() END)
ON CONFLICT (upstream) DO UPDATE SET
  failing_until = coalesce(excluded.failing_until, u.failing_until),
  quota = coalesce(excluded.quota, u.quota),
  quota_at = coalesce(excluded.quota_at, u.quota_at);

-- catalog.restoreTag
INSERT INTO tags AS t (repository_id, name, manifest_id, checked_at, moved_at)
SELECT h.repository_id, $4::text, h.manifest_id, least($5::timestamptz, now()), least($6::timestamptz, now())
FROM manifests m
JOIN repositories r ON r.upstream = $1 AND r.path = $2
JOIN repository_manifests h ON h.repository_id = r.id AND h.manifest_id = m.id
WHERE m.digest = $3
ON CONFLICT (repository_id, name) DO UPDATE SET
  manifest_id = excluded.manifest_id, checked_at = excluded.checked_at, moved_at = excluded.moved_at
WHERE t.checked_at < excluded.checked_at;

-- catalog.resumeUpstream
UPDATE upstreams SET paused_until = NULL, pause_cause = NULL, paused_counted = false WHERE upstream = $1;

-- catalog.runningPruneJob
SELECT id, cause, rule, state, created_at, finished_at, planned, removed, error FROM prune_jobs WHERE state = 'running' ORDER BY id LIMIT 1;

-- catalog.storeBlobs
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
SELECT place::integer FROM pair;

-- catalog.storeManifest
WITH new_repository AS (
  INSERT INTO repositories (upstream, path)
  SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM repositories WHERE upstream = $1 AND path = $2)
  ON CONFLICT DO NOTHING
  RETURNING id
), repository AS (
  SELECT id FROM new_repository
  UNION ALL SELECT id FROM repositories WHERE upstream = $1 AND path = $2
), new_manifest AS (
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
),
named AS (
  INSERT INTO tags AS t (repository_id, name, manifest_id, checked_at, moved_at)
  SELECT h.repository_id, $13::text, h.manifest_id, clock.now, clock.now
  FROM held h, (SELECT clock_timestamp() AS now) clock
  WHERE $13::text IS NOT NULL
  ON CONFLICT (repository_id, name) DO UPDATE SET
    manifest_id = excluded.manifest_id,
    checked_at = excluded.checked_at,
    moved_at = CASE WHEN t.manifest_id = excluded.manifest_id THEN t.moved_at ELSE excluded.moved_at END
  RETURNING repository_id, name, checked_at, moved_at = checked_at AS moved
), history AS (
  INSERT INTO tag_history (repository_id, name, digest, at)
  SELECT n.repository_id, n.name, h.digest, n.checked_at FROM named n, held h WHERE n.moved
)
SELECT EXISTS (SELECT FROM held) AS stored, EXISTS (SELECT FROM named WHERE moved) AS moved;

-- catalog.storeReferrers
WITH new_repository AS (
  INSERT INTO repositories (upstream, path)
  SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM repositories WHERE upstream = $1 AND path = $2)
  ON CONFLICT DO NOTHING
  RETURNING id
), repository AS (
  SELECT id FROM new_repository
  UNION ALL SELECT id FROM repositories WHERE upstream = $1 AND path = $2
)
INSERT INTO referrer_lists (repository_id, subject, descriptors, checked_at)
SELECT id, $3::bytea, $4::text, clock_timestamp() FROM repository
ON CONFLICT (repository_id, subject) DO UPDATE SET
  descriptors = excluded.descriptors, checked_at = excluded.checked_at;

-- catalog.storeTagList
WITH new_repository AS (
  INSERT INTO repositories (upstream, path)
  SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM repositories WHERE upstream = $1 AND path = $2)
  ON CONFLICT DO NOTHING
  RETURNING id
), repository AS (
  SELECT id FROM new_repository
  UNION ALL SELECT id FROM repositories WHERE upstream = $1 AND path = $2
)
INSERT INTO tag_lists (repository_id, names, checked_at)
SELECT id, $3::text[], clock_timestamp() FROM repository
ON CONFLICT (repository_id) DO UPDATE SET names = excluded.names, checked_at = excluded.checked_at;

-- catalog.sumUsage
SELECT upstream, kind, sum(hits) AS hits, sum(misses) AS misses, sum(failures) AS failures,
       sum(bytes_served) AS bytes_served, sum(bytes_fetched) AS bytes_fetched, sum(upstream_requests) AS upstream_requests
FROM usage WHERE at > now() - $1::float8 * interval '1 millisecond' - interval '5 minutes'
GROUP BY upstream, kind ORDER BY upstream, kind;

-- catalog.tagHistory
SELECT t.at, t.digest FROM tag_history t
JOIN repositories r ON r.id = t.repository_id
WHERE r.upstream = $1 AND r.path = $2 AND t.name = $3
ORDER BY t.at DESC, t.id DESC LIMIT 100;

-- catalog.takeDuty
INSERT INTO duties AS d (name, holder, lease_until)
VALUES ($1, $2, clock_timestamp() + $3::float8 * interval '1 millisecond')
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, lease_until = excluded.lease_until
WHERE d.lease_until <= clock_timestamp()
  AND (d.done_at IS NULL OR d.done_at <= clock_timestamp() - $4::float8 * interval '1 millisecond')
RETURNING name;

-- catalog.totals
SELECT r.upstream, count(*) AS repositories, coalesce(sum(h.count), 0) AS manifests, coalesce(sum(t.count), 0) AS tags
FROM repositories r
JOIN (SELECT repository_id, count(*) FROM repository_manifests GROUP BY repository_id) h ON h.repository_id = r.id
LEFT JOIN (SELECT repository_id, count(*) FROM tags GROUP BY repository_id) t ON t.repository_id = r.id
GROUP BY r.upstream ORDER BY r.upstream;

-- catalog.touch
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
UPDATE blobs b SET last_access = greatest(b.last_access, l.at) FROM blob l WHERE b.id = l.id;

-- catalog.turnPruneJob
UPDATE prune_jobs SET state = $2, error = $3,
  finished_at = CASE WHEN $2 = 'running' THEN NULL ELSE clock_timestamp() END
WHERE id = $1 AND state = ANY ($4::text[]);

-- catalog.unheldBlobs
SELECT b.digest FROM blobs b
WHERE b.digest = ANY ($1::bytea[]) AND NOT EXISTS (SELECT FROM repository_blobs h WHERE h.blob_id = b.id);

-- catalog.unnamed
WITH goner AS (
  SELECT * FROM unnest($1::bigint[], $2::bigint[]) AS g(repository_id, manifest_id)
)
SELECT h.repository_id, h.manifest_id FROM goner h JOIN manifests c ON c.id = h.manifest_id
WHERE NOT EXISTS (SELECT FROM tags t WHERE t.repository_id = h.repository_id AND t.manifest_id = h.manifest_id) AND NOT EXISTS (
    SELECT FROM edges e
    JOIN repository_manifests p ON p.repository_id = h.repository_id AND p.manifest_id = e.parent_id
    WHERE e.child = c.digest AND e.kind = 'manifest'
      AND NOT EXISTS (SELECT FROM goner g WHERE g.repository_id = p.repository_id AND g.manifest_id = p.manifest_id));

-- catalog.unnamedChildren
WITH goner AS (
  SELECT * FROM unnest($1::bigint[], $2::bigint[]) AS g(repository_id, manifest_id)
), child AS (
  SELECT DISTINCT g.repository_id, c.id AS manifest_id, c.digest
  FROM goner g JOIN edges e ON e.parent_id = g.manifest_id AND e.kind = 'manifest' JOIN manifests c ON c.digest = e.child
)
SELECT h.repository_id, h.manifest_id
FROM child c
JOIN repository_manifests h ON h.repository_id = c.repository_id AND h.manifest_id = c.manifest_id
WHERE h.last_access <= now() - $3::float8 * interval '1 millisecond' AND NOT EXISTS (SELECT FROM tags t WHERE t.repository_id = h.repository_id AND t.manifest_id = h.manifest_id) AND NOT EXISTS (
    SELECT FROM edges e
    JOIN repository_manifests p ON p.repository_id = h.repository_id AND p.manifest_id = e.parent_id
    WHERE e.child = c.digest AND e.kind = 'manifest'
      AND NOT EXISTS (SELECT FROM goner g WHERE g.repository_id = p.repository_id AND g.manifest_id = p.manifest_id))
  AND NOT EXISTS (SELECT FROM goner g WHERE g.repository_id = h.repository_id AND g.manifest_id = h.manifest_id)
ORDER BY h.repository_id, h.manifest_id FOR UPDATE OF h;

-- catalog.useBlob
UPDATE blobs SET last_access = clock_timestamp() WHERE digest = $1;
