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
