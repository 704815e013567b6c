import { LRUCache } from 'lru-cache';
import picomatch from 'picomatch';
import type { Config } from '#config';
import { canonicalHost, type Repository } from '#oci';
import type { TagRule } from '#registry';

type Rules = (repository: Repository, tag: string) => TagRule;

/** Asked on every pull; -1 since an age of 0 ms is already too old. */
const ALWAYS: TagRule = { fresh: -1, stale: -1 };
const PINNED: TagRule = { fresh: Number.POSITIVE_INFINITY, stale: Number.POSITIVE_INFINITY };
const MOST_REMEMBERED = 20_000;

/** How long a tag is believed, by configuration: the first of `tags.rules` that matches, else `alwaysPullLatest`, else `tags`. */
export function tagRules({ tags, alwaysPullLatest }: Config): Rules {
  const normal: TagRule = { fresh: tags.fresh, stale: Math.max(tags.fresh, tags.stale) };
  const usual = (tag: string) => (alwaysPullLatest && tag === 'latest' ? ALWAYS : normal);
  if (tags.rules.length === 0) return (_, tag) => usual(tag);
  const rules = tags.rules.map(({ match, pin, alwaysPull, fresh = tags.fresh, stale = tags.stale }) => ({
    matches: matcher(match),
    rule: pin ? PINNED : alwaysPull ? ALWAYS : { fresh, stale: Math.max(fresh, stale) },
  }));
  // Every request of a warm cache asks.
  const decided = new LRUCache<string, TagRule>({ max: MOST_REMEMBERED });
  return (repository, tag) => {
    const key = `${repository.upstream}/${repository.path}:${tag}`;
    let rule = decided.get(key);
    if (!rule) {
      rule = rules.find(({ matches }) => matches(repository, tag))?.rule ?? usual(tag);
      decided.set(key, rule);
    }
    return rule;
  };
}

/** `<upstream>/<repository glob>:<tag glob>`; `*` stays within one component, `**` does not. */
function globs(match: string): { host: string; repository: string; tag: string } {
  const [, upstream = '', path = '', tag = ''] = /^([^/]+)\/(.+):([^:]+)$/.exec(match) ?? [];
  const host = canonicalHost(upstream) ?? upstream;
  // As in an image's name: `docker.io/alpine` is `docker.io/library/alpine`.
  const repository = host === 'docker.io' && !/[/]|\*\*/.test(path) ? `library/${path}` : path;
  return { host, repository, tag };
}

function matcher(match: string): (repository: Repository, tag: string) => boolean {
  const { host, repository, tag } = globs(match);
  const [isHost, isRepository, isTag] = [host, repository, tag].map((glob) => picomatch(glob, { nonegate: true }));
  return (asked, name) => Boolean(isHost?.(asked.upstream) && isRepository?.(asked.path) && isTag?.(name));
}

/**
 * `tags.rules` as expressions of whole references, for a database to tell which tags are pinned; the first match decides. A
 * glob that cannot be told as one (`!(...)`) pins all that it may mean.
 */
export function pinExpressions({ tags }: Pick<Config, 'tags'>): { expression: string; pin: boolean }[] {
  return tags.rules
    .filter(({ match, pin }) => pin || !EXTENDED.test(match))
    .map(({ match, pin }) => {
      const { host, repository, tag } = globs(match);
      const [h, r, t] = [host, repository, tag].map((glob) => (EXTENDED.test(glob) ? '.*' : expressionOf(glob)));
      return { expression: `^${h}/${r}:${t}$`, pin };
    });
}

const EXTENDED = /[!?*+@]\(/;

/** What picomatch takes of names, as an expression without anchors inside, which its own have. */
function expressionOf(glob: string): string {
  return glob.replace(/\/\*\*$|\*\*\/|\*\*|\[[!^]?[^\]]+\]|\{[^{}]*\}|[^\w/-]/g, (part: string): string => {
    if (part === '/**') return '(?:/.*)?';
    if (part === '**/') return '(?:.*/)?';
    if (part === '**') return '.*';
    if (part === '*') return '[^/]*';
    if (part === '?') return '[^/]';
    if (part.startsWith('[')) return part.replace('[!', '[^');
    if (part.startsWith('{')) return `(?:${part.slice(1, -1).split(',').map(expressionOf).join('|')})`;
    return `\\${part}`;
  });
}

/** How many times the freshness of a tag a list may be old before it is asked for while the client waits. */
const STALE_LISTS = 10;

/** Lists serve those who look for what is new; a day, as for tags, would be too long. */
export function listRule({ tags }: Config): TagRule {
  return { fresh: tags.fresh, stale: Math.max(tags.fresh, Math.min(tags.stale, STALE_LISTS * tags.fresh)) };
}
