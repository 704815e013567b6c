/** Milliseconds since the upstream last confirmed a tag. */
export interface TagRule {
  readonly fresh: number;
  readonly stale: number;
}

/**
 * fresh: from the cache. stale: from the cache at once, revalidated behind the client's back.
 * expired: revalidated first; the cached one is served with a Warning when that fails.
 */
export type Freshness = 'fresh' | 'stale' | 'expired';

export function freshnessOf(age: number, rule: TagRule): Freshness {
  if (age <= rule.fresh) return 'fresh';
  return age <= rule.stale ? 'stale' : 'expired';
}
