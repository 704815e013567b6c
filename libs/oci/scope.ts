import type { Route } from './route.js';

/** What a token is good for: the pull half of Docker's token specification ("Token Scope Documentation"). */
export interface Grant {
  /** Names of repositories as clients spell them, with or without a host before the path. */
  readonly repositories: ReadonlySet<string>;
  /** `_catalog` may be read. */
  readonly catalog: boolean;
}

/** Characters of all the names in one token, which keep it below 8 KiB (WIRE A14). */
const MOST_NAMES = 4000;
/** A host, a port and a path; whatever else is in it goes into a token, and into nothing else. */
const NAME = /^[A-Za-z0-9._:/[\]-]{1,512}$/;
const CATALOG = 'registry:catalog:*';

/**
 * What `scope` parameters ask for, of that what can be given here: `repository:<name>:pull,push` gives pull, and what is no
 * scope of a pull gives nothing. A parameter may hold several with spaces between them; what is too much is left out.
 */
export function parseGrant(scopes: readonly string[]): Grant {
  const repositories = new Set<string>();
  let catalog = false;
  let left = MOST_NAMES;
  for (const scope of scopes.flatMap((text) => text.split(' '))) {
    // A name may hold colons, types and actions do not.
    const [, type = '', name = '', actions = ''] = /^([^:]*):(.*):([^:]*)$/s.exec(scope) ?? [];
    const asked = actions.split(',');
    if (scope === CATALOG) catalog = true;
    if (!/^repository(\([a-z]+\))?$/.test(type) || !NAME.test(name) || repositories.has(name)) continue;
    if (!asked.includes('pull') && !asked.includes('*')) continue;
    left -= name.length + 40;
    if (left < 0) break;
    repositories.add(name);
  }
  return { repositories, catalog };
}

/** The scope that a request needs; undefined for one that needs none. */
export function scopeOf(route: Route): string | undefined {
  if (route.kind === 'catalog') return CATALOG;
  return 'name' in route ? `repository:${route.name}:pull` : undefined;
}

export interface BearerChallenge {
  /** Absolute URL of the place that gives tokens. */
  readonly realm: string;
  readonly service: string;
  readonly scope?: string;
  /** RFC 6750 3.1: why the token that was sent is not taken. */
  readonly error?: 'invalid_token' | 'insufficient_scope';
}

/** Without spaces after commas: some clients split at `",` (WIRE A10). No value may hold a quote or a backslash. */
export function formatBearer({ realm, service, scope, error }: BearerChallenge): string {
  const params = { realm, service, scope, error };
  const text = Object.entries(params).flatMap(([name, value]) => (value === undefined ? [] : `${name}="${value}"`));
  return `Bearer ${text.join(',')}`;
}
