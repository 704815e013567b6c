import type { Config } from '#config';
import type { Repository } from '#oci';
import type { TagRule } from '#registry';

/** How long a tag is believed, by configuration. */
export function tagRules({ tags, alwaysPullLatest }: Config): (repository: Repository, tag: string) => TagRule {
  const normal: TagRule = { fresh: tags.fresh, stale: Math.max(tags.fresh, tags.stale) };
  // Asked on every pull; -1 since an age of 0 ms is already too old.
  const always: TagRule = { fresh: -1, stale: -1 };
  return (_, tag) => (alwaysPullLatest && tag === 'latest' ? always : normal);
}

/** How many times the freshness of a tag a list may be old before it is asked for while the client waits. */
const STALE_LISTS = 10;

/** Lists serve those who look for what is new; a day, as for tags, would be too long. */
export function listRule({ tags }: Config): TagRule {
  return { fresh: tags.fresh, stale: Math.max(tags.fresh, Math.min(tags.stale, STALE_LISTS * tags.fresh)) };
}
