import { batchStatement, EXPIRE_AT_MOST, statement } from './statement.js';

/** $1 upstreams, $2 kinds (pairs distinct), $3 hits, $4 misses, $5 failures, $6 bytes served, $7 bytes fetched, $8 upstream requests. */
export const addUsage = batchStatement(
  'addUsage',
  `
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
  upstream_requests = u.upstream_requests + excluded.upstream_requests`,
);

/** $1 ms */
export const sumUsage = batchStatement(
  'sumUsage',
  `
SELECT upstream, kind, sum(hits) AS hits, sum(misses) AS misses, sum(failures) AS failures,
       sum(bytes_served) AS bytes_served, sum(bytes_fetched) AS bytes_fetched, sum(upstream_requests) AS upstream_requests
FROM usage WHERE at > now() - $1::float8 * interval '1 millisecond' - interval '5 minutes'
GROUP BY upstream, kind ORDER BY upstream, kind`,
);

/** $1 ms */
export const expireUsage = batchStatement(
  'expireUsage',
  `DELETE FROM usage WHERE at < now() - $1::float8 * interval '1 millisecond'`,
);

/** $1 ms. The newest move of every tag stays. */
export const expireTagHistory = batchStatement(
  'expireTagHistory',
  `
WITH old AS MATERIALIZED (
  SELECT h.id FROM tag_history h
  WHERE h.at < now() - $1::float8 * interval '1 millisecond'
    AND EXISTS (SELECT FROM tag_history n WHERE n.repository_id = h.repository_id AND n.name = h.name AND n.at > h.at)
  ORDER BY h.at LIMIT ${EXPIRE_AT_MOST}
)
DELETE FROM tag_history h USING old WHERE h.id = old.id`,
);

/** $1 name, $2 holder, $3 lease in ms, $4 interval in ms */
export const takeDuty = statement(
  'takeDuty',
  `
INSERT INTO duties AS d (name, holder, lease_until)
VALUES ($1, $2, clock_timestamp() + $3::float8 * interval '1 millisecond')
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, lease_until = excluded.lease_until
WHERE d.lease_until <= clock_timestamp()
  AND (d.done_at IS NULL OR d.done_at <= clock_timestamp() - $4::float8 * interval '1 millisecond')
RETURNING name`,
);

/** $1 name, $2 holder, $3 lease in ms */
export const renewDuty = statement(
  'renewDuty',
  `
UPDATE duties SET lease_until = clock_timestamp() + $3::float8 * interval '1 millisecond'
WHERE name = $1 AND holder = $2 AND lease_until > clock_timestamp()`,
);

/** $1 name, $2 holder, $3 whether it is done */
export const endDuty = statement(
  'endDuty',
  `
UPDATE duties SET lease_until = clock_timestamp(), done_at = CASE WHEN $3::boolean THEN clock_timestamp() ELSE done_at END
WHERE name = $1 AND holder = $2 AND lease_until > clock_timestamp()`,
);

export const foldTotals = batchStatement(
  'foldTotals',
  `
WITH gone AS (
  DELETE FROM totals WHERE (SELECT count(*) > 100 FROM totals) RETURNING kind, count, bytes
)
INSERT INTO totals (kind, count, bytes)
SELECT kind, sum(count), sum(bytes) FROM gone GROUP BY kind ORDER BY kind`,
);
