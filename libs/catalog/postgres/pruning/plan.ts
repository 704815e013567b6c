import type { PrunePlan, PruneProtection, PruneRule } from '../../pruning.js';
import type { Run } from '../connection.js';

/** Images that the first look at a byte budget considers at least; each further look four times as many. */
const FIRST_LOOK = 10_000;
const MARGIN = 1.2;
/** An index of indexes of indexes is as deep as anybody has seen. */
const DEPTH = 4;

/**
 * Plans within one transaction, in temporary tables, so that memory does not grow with the plan:
 *
 *   prune_candidate  images that may go, `rank`ed by last access; `whole` when no tag stays
 *   prune_doomed     manifests of a repository that go with them
 *   prune_pair       blobs of a repository that nothing in it needs then
 *   prune_freed      blobs that no repository needs then
 *
 * Each row carries the rank of the image whose going frees it, so that a byte budget is one sum over the ranks.
 */
export class Planner {
  constructor(
    private readonly run: Run,
    private readonly rule: PruneRule,
    private readonly protection: PruneProtection,
    /** Milliseconds of a statement that matches expressions, and of any other. */
    private readonly limits: { readonly matching: number; readonly reading: number },
  ) {}

  /** Leaves the items in `prune_candidate`. */
  async plan(): Promise<PrunePlan> {
    const { toSize } = this.rule;
    const { shielded, above } = toSize === undefined ? await this.all() : await this.fit(toSize);
    const row = await this.one(COUNTS);
    const number = (name: string) => Number(row[name]);
    return {
      images: number('images'),
      tags: number('tags'),
      manifests: number('manifests'),
      blobs: number('blobs'),
      bytes: number('manifest_bytes') + number('blob_bytes'),
      protected: shielded,
      everything: number('doomed') > 0 && number('doomed') === number('held'),
      ...(above === undefined ? {} : { above }),
    };
  }

  private async all(): Promise<{ shielded: number; above?: number }> {
    const shielded = await this.candidates();
    await this.measure();
    return { shielded };
  }

  /** Of what was used last at `until` or before, everything by default. How many images of it are protected. */
  private async candidates(until?: string): Promise<number> {
    const { accessedBefore, storedBefore, patterns, count } = this.rule;
    const { servedWithin, keep, pins } = this.protection;
    const values: unknown[] = [];
    const value = (given: unknown) => `$${values.push(given)}`;
    const served = `h.last_access > now() - ${value(servedWithin)}::float8 * interval '1 millisecond'`;
    const chosen = (reference: string) =>
      patterns === undefined ? 'true' : `${reference} ~ ANY (${value(patterns)}::text[])`;
    const kept = (reference: string) => (keep.length === 0 ? 'false' : `${reference} ~ ANY (${value(keep)}::text[])`);
    const cases = (reference: string) =>
      pins.map(({ expression, pin }) => `WHEN ${reference} ~ ${value(expression)}::text THEN ${pin}`).join(' ');
    const pinned = pins.some(({ pin }) => pin) ? `CASE ${cases('reference')} ELSE false END` : 'false';
    const conditions = [
      ...(until === undefined ? [] : [`h.last_access <= ${value(until)}::timestamptz`]),
      ...(accessedBefore ? [`h.last_access < ${value(accessedBefore.toISOString())}::timestamptz`] : []),
      ...(storedBefore ? [`h.stored_at < ${value(storedBefore.toISOString())}::timestamptz`] : []),
    ];
    await this.do('DROP TABLE IF EXISTS prune_candidate');
    const matching = patterns !== undefined || keep.length > 0 || pins.length > 0;
    if (matching) await this.do(`SET LOCAL statement_timeout = ${this.limits.matching}`);
    await this.do(
      `
CREATE TEMP TABLE prune_candidate ON COMMIT DROP AS
WITH held AS (
  SELECT h.repository_id, h.manifest_id, h.last_access, r.upstream || '/' || r.path AS name, m.digest
  FROM repository_manifests h
  JOIN repositories r ON r.id = h.repository_id
  JOIN manifests m ON m.id = h.manifest_id
  ${conditions.length > 0 ? `WHERE ${conditions.join(' AND ')}` : ''}
), tagged AS (
  SELECT repository_id, manifest_id, last_access,
    coalesce(array_agg(tag) FILTER (WHERE chosen AND NOT kept), '{}') AS tags,
    bool_and(chosen AND NOT kept) AS whole, bool_or(chosen) AS chosen
  FROM (
    SELECT *, ${chosen('reference')} AS chosen, ${kept('reference')} OR ${pinned} AS kept FROM (
      SELECT h.repository_id, h.manifest_id, h.last_access, t.name::text AS tag, h.name || ':' || t.name AS reference
      FROM held h JOIN tags t ON t.repository_id = h.repository_id AND t.manifest_id = h.manifest_id
    ) named
  ) t
  GROUP BY repository_id, manifest_id, last_access
), untagged AS (
  SELECT repository_id, manifest_id, last_access, '{}'::text[] AS tags, NOT kept AS whole, true AS chosen FROM (
    SELECT *, ${kept('reference')} AS kept FROM (
      SELECT h.repository_id, h.manifest_id, h.last_access,
        h.name || '@' || CASE octet_length(h.digest) WHEN 32 THEN 'sha256:' ELSE 'sha512:' END || encode(h.digest, 'hex') AS reference
      FROM held h
      WHERE NOT EXISTS (SELECT FROM tags t WHERE t.repository_id = h.repository_id AND t.manifest_id = h.manifest_id)
        AND NOT EXISTS (
          SELECT FROM edges e JOIN repository_manifests p ON p.repository_id = h.repository_id AND p.manifest_id = e.parent_id
          WHERE e.child = h.digest AND e.kind = 'manifest')
    ) unnamed
    WHERE ${chosen('reference')}
  ) u
), served AS (
  SELECT h.repository_id, h.manifest_id FROM repository_manifests h WHERE ${served}
  UNION
  SELECT h.repository_id, e.parent_id FROM repository_manifests h
  JOIN manifests c ON c.id = h.manifest_id
  JOIN edges e ON e.child = c.digest AND e.kind = 'manifest'
  WHERE ${served}
)
SELECT row_number() OVER (ORDER BY goes DESC, last_access, repository_id, manifest_id) AS rank, *
FROM (
  SELECT i.*, (whole${patterns === undefined ? '' : ' OR cardinality(tags) > 0'}) AND s.manifest_id IS NULL AS goes
  FROM (SELECT * FROM tagged WHERE chosen UNION ALL SELECT * FROM untagged) i
  LEFT JOIN served s ON s.repository_id = i.repository_id AND s.manifest_id = i.manifest_id
) i`,
      values,
    );
    if (matching) await this.do(`SET LOCAL statement_timeout = ${this.limits.reading}`);
    const { shielded } = await this.one('SELECT count(*) FILTER (WHERE NOT goes) AS shielded FROM prune_candidate');
    await this.do('DELETE FROM prune_candidate WHERE NOT goes OR rank > coalesce($1::bigint, rank)', [count ?? null]);
    await this.do('CREATE INDEX ON prune_candidate (repository_id, manifest_id)');
    await this.do('ANALYZE prune_candidate');
    return Number(shielded);
  }

  /** What the candidates take with them. */
  private async measure(): Promise<void> {
    await this.do('DROP TABLE IF EXISTS prune_doomed, prune_pair, prune_freed');
    await this.do(DOOMED);
    await this.do('CREATE UNIQUE INDEX ON prune_doomed (repository_id, manifest_id)');
    await this.do('ANALYZE prune_doomed');
    for (let depth = 0; depth < DEPTH; depth++) {
      if ((await this.do(CHILDREN, [this.protection.servedWithin])) === 0) break;
    }
    await this.do(PAIRS);
    await this.do('ANALYZE prune_pair');
    await this.do(FREED, [this.protection.servedWithin]);
    await this.do('ANALYZE prune_freed');
  }

  /**
   * Leaves only the candidates that a budget of `bytes` needs gone, looking at no more of the least recently used than it takes
   * to find them. `above`: bytes by which it is missed all the same.
   */
  private async fit(bytes: number): Promise<{ shielded: number; above: number }> {
    const { all } = await this.one('SELECT coalesce(sum(size), 0) AS all FROM blobs');
    const surplus = Number(all) - bytes;
    if (surplus <= 0) {
      await this.candidates('-infinity');
      await this.measure();
      return { shielded: 0, above: 0 };
    }
    const { held } = await this.one('SELECT count(*) AS held FROM repository_manifests');
    // As many as would do if all had the same size and shared nothing, and some more.
    const guess = Math.ceil((Number(held) * surplus * MARGIN) / Number(all));
    for (let look = Math.max(guess, FIRST_LOOK); ; look *= 4) {
      const { until } = await this.one(LAST_OF, [look, this.rule.accessedBefore?.toISOString() ?? 'infinity']);
      const shielded = await this.candidates(until ?? undefined);
      await this.measure();
      const { rank, freed } = await this.one(CUT, [surplus]);
      if (!rank && until) continue;
      await this.keepUseful(rank ?? undefined);
      return { shielded, above: Math.max(0, surplus - Number(freed)) };
    }
  }

  /** Of the candidates up to `rank`. An image that frees nothing by going may as well stay: all of it is needed by others, too. */
  private async keepUseful(rank?: string): Promise<void> {
    if (rank)
      for (const table of ['prune_candidate', 'prune_doomed', 'prune_pair', 'prune_freed'])
        await this.do(`DELETE FROM ${table} WHERE rank > $1`, [rank]);
    await this.do(USEFUL_BY_RANK);
    await this.do('ANALYZE prune_doomed');
    await this.do(USEFUL);
    for (let depth = 0; depth < DEPTH; depth++) if ((await this.do(USEFUL_ABOVE)) === 0) break;
    if ((await this.do(ONLY_USEFUL)) > 0) await this.measure();
  }

  private async do(text: string, values: readonly unknown[] = []): Promise<number> {
    return (await this.run({ text }, values)).count;
  }

  private async one(text: string, values: readonly unknown[] = []): Promise<Record<string, string | null>> {
    return (await this.run<Record<string, string | null>>({ text }, values)).rows[0] ?? {};
  }
}

const ago = (ms: string) => `now() - ${ms}::float8 * interval '1 millisecond'`;

/** A held index of the repository names the manifest with `digest`, and does not go itself. */
const namedBySurvivor = (repository: string, digest: string) => `EXISTS (
    SELECT FROM edges pe JOIN repository_manifests p ON p.repository_id = ${repository} AND p.manifest_id = pe.parent_id
    WHERE pe.child = ${digest} AND pe.kind = 'manifest' AND NOT EXISTS (
      SELECT FROM prune_doomed y WHERE y.repository_id = p.repository_id AND y.manifest_id = p.manifest_id))`;

/** $1 manifests looked at, $2 the end. When the next one was used, if there is one. */
const LAST_OF = `
SELECT last_access::text AS until FROM repository_manifests WHERE last_access < $2::timestamptz
ORDER BY last_access OFFSET $1::bigint LIMIT 1`;

/** Images that no index names; those that one names go with it. */
const DOOMED = `
CREATE TEMP TABLE prune_doomed ON COMMIT DROP AS
SELECT c.repository_id, c.manifest_id, c.rank, false AS useful
FROM prune_candidate c JOIN manifests m ON m.id = c.manifest_id
WHERE c.whole AND NOT EXISTS (
  SELECT FROM edges e JOIN repository_manifests p ON p.repository_id = c.repository_id AND p.manifest_id = e.parent_id
  WHERE e.child = m.digest AND e.kind = 'manifest')`;

const CHILDREN = `
INSERT INTO prune_doomed (repository_id, manifest_id, rank, useful)
SELECT d.repository_id, c.id, greatest(max(d.rank), max(own.rank)), false
FROM prune_doomed d
JOIN edges e ON e.parent_id = d.manifest_id AND e.kind = 'manifest'
JOIN manifests c ON c.digest = e.child
JOIN repository_manifests h ON h.repository_id = d.repository_id AND h.manifest_id = c.id
LEFT JOIN prune_candidate own ON own.repository_id = h.repository_id AND own.manifest_id = h.manifest_id AND own.whole
WHERE h.last_access <= ${ago('$1')}
  AND NOT EXISTS (SELECT FROM prune_doomed x WHERE x.repository_id = h.repository_id AND x.manifest_id = h.manifest_id)
  AND (own.rank IS NOT NULL OR NOT EXISTS (
    SELECT FROM tags t WHERE t.repository_id = h.repository_id AND t.manifest_id = h.manifest_id))
  AND NOT ${namedBySurvivor('h.repository_id', 'c.digest')}
GROUP BY d.repository_id, c.id`;

const PAIRS = `
CREATE TEMP TABLE prune_pair ON COMMIT DROP AS
SELECT h.repository_id, e.child, max(d.rank) AS rank
FROM (SELECT DISTINCT repository_id FROM prune_doomed) r
JOIN repository_manifests h ON h.repository_id = r.repository_id
JOIN edges e ON e.parent_id = h.manifest_id AND e.kind <> 'manifest'
LEFT JOIN prune_doomed d ON d.repository_id = h.repository_id AND d.manifest_id = h.manifest_id
GROUP BY h.repository_id, e.child
HAVING bool_and(d.manifest_id IS NOT NULL)`;

const FREED = `
CREATE TEMP TABLE prune_freed ON COMMIT DROP AS
SELECT b.digest, b.size, max(p.rank) AS rank
FROM (
  SELECT b.id, b.digest, b.size FROM (SELECT DISTINCT child FROM prune_pair) c JOIN blobs b ON b.digest = c.child
  WHERE b.last_access <= ${ago('$1')}
) b
JOIN repository_blobs h ON h.blob_id = b.id
LEFT JOIN prune_pair p ON p.repository_id = h.repository_id AND p.child = b.digest
GROUP BY b.id, b.digest, b.size
HAVING bool_and(p.rank IS NOT NULL)`;

/** $1 bytes that must go. The rank with which they are gone, and the bytes gone by then. */
const CUT = `
WITH step AS (
  SELECT rank, sum(sum(size)) OVER (ORDER BY rank) AS freed FROM prune_freed GROUP BY rank
)
SELECT min(rank) FILTER (WHERE freed >= $1::bigint) AS rank,
  coalesce(min(freed) FILTER (WHERE freed >= $1::bigint), max(freed), 0) AS freed
FROM step`;

/** Of most images the rank tells it, which is much less to read than what all of them name. */
const USEFUL_BY_RANK = `
UPDATE prune_doomed d SET useful = true
FROM (SELECT rank FROM prune_doomed GROUP BY rank HAVING count(*) = 1) alone
WHERE alone.rank = d.rank AND d.rank IN (SELECT f.rank FROM prune_freed f)`;

const USEFUL = `
UPDATE prune_doomed d SET useful = true
WHERE NOT d.useful
  AND EXISTS (SELECT FROM edges e JOIN prune_freed f ON f.digest = e.child WHERE e.parent_id = d.manifest_id)`;

const USEFUL_ABOVE = `
UPDATE prune_doomed d SET useful = true
WHERE NOT d.useful AND EXISTS (
  SELECT FROM edges e JOIN manifests c ON c.digest = e.child
  JOIN prune_doomed x ON x.repository_id = d.repository_id AND x.manifest_id = c.id AND x.useful
  WHERE e.parent_id = d.manifest_id AND e.kind = 'manifest')`;

const ONLY_USEFUL = `
DELETE FROM prune_candidate c
WHERE NOT EXISTS (
  SELECT FROM prune_doomed d WHERE d.repository_id = c.repository_id AND d.manifest_id = c.manifest_id AND d.useful)`;

const COUNTS = `
SELECT
  (SELECT count(*) FROM prune_candidate c JOIN prune_doomed d USING (repository_id, manifest_id) WHERE c.whole) AS images,
  (SELECT coalesce(sum(cardinality(tags)), 0) FROM prune_candidate) AS tags,
  (SELECT count(*) FROM prune_freed) AS blobs,
  (SELECT coalesce(sum(size), 0) FROM prune_freed) AS blob_bytes,
  (SELECT count(*) FROM prune_doomed) AS doomed,
  (SELECT count(*) FROM repository_manifests) AS held,
  m.count AS manifests, m.bytes AS manifest_bytes
FROM (
  SELECT count(*), coalesce(sum(m.size), 0) AS bytes FROM manifests m
  WHERE m.id IN (SELECT manifest_id FROM prune_doomed) AND NOT EXISTS (
    SELECT FROM repository_manifests h WHERE h.manifest_id = m.id AND NOT EXISTS (
      SELECT FROM prune_doomed d WHERE d.repository_id = h.repository_id AND d.manifest_id = h.manifest_id))
) m`;
