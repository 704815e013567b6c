import { batchStatement, EXPIRE_AT_MOST, statement } from './statement.js';

// Rows are locked in the order of their keys everywhere, so that batches never wait for each other in a circle.

/**
 * $1 keys (distinct), $2 targets, $3 workers, $4 leases in ms. Returns the claimed ones. `excluded` was computed before a
 * wait for the row, the condition after it: a lease is never found over too early.
 */
export const claimPulls = batchStatement(
  'claimPulls',
  `
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
  (extract(epoch FROM clock_timestamp() - previous_at) * 1000)::float8 AS previous_age`,
);

/** $1 keys. Who holds what could not be claimed. */
export const findHolders = batchStatement(
  'findHolders',
  `
SELECT key, worker, (extract(epoch FROM lease_until - clock_timestamp()) * 1000)::float8 AS remaining
FROM pulls WHERE key = ANY ($1::text[])`,
);

/** $1 keys (distinct), $2 workers, $3 attempts, $4 tokens, then what `change` and `more` name. Returns the keys whose claim holds. */
const fenced = (name: string, more: string, columns: string, change: string) =>
  batchStatement(
    name,
    `
WITH item AS (
  SELECT * FROM unnest($1::text[], $2::text[], $3::integer[], $4::bigint[]${more}) AS i(key, worker, attempt, token${columns})
), locked AS (
  SELECT i.* FROM item i JOIN pulls p ON p.key = i.key
  WHERE p.state = 'running' AND p.worker = i.worker AND p.attempt = i.attempt AND (i.token IS NULL OR p.token = i.token)
  ORDER BY p.key FOR NO KEY UPDATE OF p
)
${change} p.key = i.key
RETURNING p.key`,
  );

/** $5 leases in ms */
export const renewPulls = fenced(
  'renewPulls',
  ', $5::float8[]',
  ', lease',
  `UPDATE pulls p SET lease_until = clock_timestamp() + i.lease * interval '1 millisecond' FROM locked i WHERE`,
);

/** $5 relays, $6 sizes */
export const announcePulls = fenced(
  'announcePulls',
  ', $5::text[], $6::bigint[]',
  ', relay, size',
  `UPDATE pulls p SET relay = i.relay::jsonb, size = i.size, changed_at = clock_timestamp() FROM locked i WHERE`,
);

/** $5 failures */
export const finishPulls = fenced(
  'finishPulls',
  ', $5::text[]',
  ', failure',
  `UPDATE pulls p SET state = 'finished', failure = i.failure::jsonb, relay = NULL, changed_at = clock_timestamp()
FROM locked i WHERE`,
);

export const releasePulls = fenced('releasePulls', '', '', 'DELETE FROM pulls p USING locked i WHERE');

/** $1 key */
export const removePull = statement('removePull', `DELETE FROM pulls WHERE key = $1`);

/** $1 key */
export const findPull = statement(
  'findPull',
  `
SELECT key, target, state, attempt, worker, relay, size, failure,
       (extract(epoch FROM lease_until - clock_timestamp()) * 1000)::float8 AS lease_remaining,
       (extract(epoch FROM clock_timestamp() - changed_at) * 1000)::float8 AS age
FROM pulls WHERE key = $1`,
);

/** What a process that was alone with this database was working on when it ended. */
export const findLostPulls = batchStatement('findLostPulls', `SELECT key, attempt FROM pulls WHERE state = 'running'`);

/**
 * What a process that is alone decided by itself. $1 keys (distinct), $2 targets, $3 states, $4 attempts, $5 workers,
 * $6 leases in ms from now, $7 and $8 ages in ms of the last change and of the claim, $9 relays, $10 sizes, $11 failures,
 * $12 failures of the pulls before, $13 ages in ms of their ends, null where only the row may know.
 */
export const recordPulls = batchStatement(
  'recordPulls',
  `
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
                     WHEN p.state = 'finished' THEN p.changed_at ELSE p.previous_at END`,
);

/** $1 age in ms */
export const expirePulls = batchStatement(
  'expirePulls',
  `
WITH old AS MATERIALIZED (
  SELECT key FROM pulls
  WHERE changed_at < now() - $1::float8 * interval '1 millisecond' AND state = 'finished'
  ORDER BY changed_at LIMIT ${EXPIRE_AT_MOST}
  FOR UPDATE SKIP LOCKED
)
DELETE FROM pulls p USING old WHERE p.key = old.key`,
);

/** $1 ms since when the lease has been over, $2 keys that are worked on whatever the row says, $3 failure */
export const endLostPulls = batchStatement(
  'endLostPulls',
  `
WITH lost AS MATERIALIZED (
  SELECT key FROM pulls
  WHERE state = 'running' AND lease_until < clock_timestamp() - $1::float8 * interval '1 millisecond'
    AND key <> ALL ($2::text[])
  ORDER BY key COLLATE "C" LIMIT ${EXPIRE_AT_MOST}
  FOR UPDATE SKIP LOCKED
)
UPDATE pulls p SET state = 'finished', failure = $3::jsonb, relay = NULL, changed_at = clock_timestamp()
FROM lost WHERE p.key = lost.key`,
);
