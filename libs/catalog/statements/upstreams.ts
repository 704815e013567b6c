import { batchStatement, statement } from './statement.js';

/** $1 upstream, $2 ms, $3 cause, $4 counted only. A pause in force that is longer and covers as much stays. */
export const pauseUpstream = statement(
  'pauseUpstream',
  `
INSERT INTO upstreams AS u (upstream, paused_until, pause_cause, paused_counted)
VALUES ($1, clock_timestamp() + $2::float8 * interval '1 millisecond', $3, $4)
ON CONFLICT (upstream) DO UPDATE SET
  paused_until = excluded.paused_until, pause_cause = excluded.pause_cause, paused_counted = excluded.paused_counted
WHERE excluded.pause_cause = 'manual' OR u.paused_until IS NULL OR u.paused_until < excluded.paused_until
   OR (u.paused_counted AND NOT excluded.paused_counted)`,
);

/** $1 upstream */
export const resumeUpstream = statement(
  'resumeUpstream',
  `UPDATE upstreams SET paused_until = NULL, pause_cause = NULL, paused_counted = false WHERE upstream = $1`,
);

/** $1 upstream, $2 ms that it is left alone for failing, $3 quota */
export const reportUpstream = statement(
  'reportUpstream',
  `
INSERT INTO upstreams AS u (upstream, paused_counted, failing_until, quota, quota_at)
VALUES ($1, false, clock_timestamp() + $2::float8 * interval '1 millisecond', $3::jsonb,
        CASE WHEN $3::jsonb IS NULL THEN NULL ELSE clock_timestamp() END)
ON CONFLICT (upstream) DO UPDATE SET
  failing_until = coalesce(excluded.failing_until, u.failing_until),
  quota = coalesce(excluded.quota, u.quota),
  quota_at = coalesce(excluded.quota_at, u.quota_at)`,
);

/** Rows are few: one for each upstream that was ever paused, failing or counting. */
export const listUpstreams = batchStatement(
  'listUpstreams',
  `
SELECT upstream, pause_cause, paused_counted, quota,
       (extract(epoch FROM paused_until - clock_timestamp()) * 1000)::float8 AS pause_remaining,
       (extract(epoch FROM failing_until - clock_timestamp()) * 1000)::float8 AS failing_for,
       (extract(epoch FROM clock_timestamp() - quota_at) * 1000)::float8 AS quota_age
FROM upstreams ORDER BY upstream`,
);

export const findInstallation = batchStatement('findInstallation', `SELECT id FROM installation`);
