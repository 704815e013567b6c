import { parseDigest } from './digest.js';
import { Failure } from './failure.js';
import { canonicalHost, checkManifestReference, isRepositoryPath, looksLikeHost } from './reference.js';
import type { Digest } from './types.js';

interface Paging {
  readonly n?: number;
  readonly last?: string;
}

/** The pull API of the distribution-spec. `name` may start with an upstream host; `ns` is as the client sent it. */
export type Route = (
  | { readonly kind: 'base' }
  | { readonly kind: 'manifest'; readonly name: string; readonly reference: string }
  | { readonly kind: 'blob'; readonly name: string; readonly digest: Digest }
  | ({ readonly kind: 'tags'; readonly name: string } & Paging)
  | { readonly kind: 'referrers'; readonly name: string; readonly digest: Digest; readonly artifactType?: string }
  | ({ readonly kind: 'catalog' } & Paging)
) & { readonly ns?: string };

const PLAIN_PATH = /^[A-Za-z0-9._:/[\]-]*$/;
const MOST_PAGE = 10_000;

/**
 * Parses a raw HTTP request target, parsing names from the right so that repositories may be called `manifests` or `tags`.
 * Throws Failure: NOT_FOUND for no route of ours, else what is wrong with its parts.
 */
export function parseRoute(target: string, prefix = ''): Route {
  const mark = target.indexOf('?');
  const rawPath = mark < 0 ? target : target.slice(0, mark);
  const path = stripPrefix(rawPath, prefix);
  if (path !== '/v2' && !path.startsWith('/v2/')) throw new Failure('NOT_FOUND');
  if (path.length <= 4) return { kind: 'base' };
  // The only escape that clients need is the colon of a digest; everything else hides something.
  const rest = path.slice(4).replace(/%3[Aa]/g, ':');
  if (!PLAIN_PATH.test(rest)) throw new Failure('NAME_INVALID', 'invalid characters in the path');
  const query = mark < 0 ? undefined : new URLSearchParams(target.slice(mark + 1));
  const ns = query ? namespaceOf(query) : undefined;
  const route = parsePath(rest, query);
  return ns === undefined ? route : { ...route, ns };
}

/** The prefix may stand before or after `/v2` (hosts.toml without override_path, Docker mirrors). */
function stripPrefix(path: string, prefix: string): string {
  if (prefix === '') return path;
  if (path === prefix || path.startsWith(`${prefix}/`)) return path.slice(prefix.length);
  const after = `/v2${prefix}`;
  return path === after || path.startsWith(`${after}/`) ? `/v2${path.slice(after.length)}` : path;
}

function namespaceOf(query: URLSearchParams): string | undefined {
  const all = query.getAll('ns');
  if (all.length === 0) return undefined;
  if (all.length > 1 || canonicalHost(all[0]!) === undefined) throw new Failure('NAME_INVALID', 'invalid ns');
  return all[0];
}

function parsePath(path: string, query: URLSearchParams | undefined): Route {
  if (path === '_catalog') return { kind: 'catalog', ...pagingOf(query) };
  const last = path.lastIndexOf('/');
  const tail = path.slice(last + 1);
  const middleStart = path.lastIndexOf('/', last - 1);
  const middle = path.slice(middleStart + 1, Math.max(last, 0));
  const name = path.slice(0, Math.max(middleStart, 0));
  switch (middle) {
    case 'manifests':
      return { kind: 'manifest', name: checkName(name), reference: checkManifestReference(tail) };
    case 'blobs':
      return { kind: 'blob', name: checkName(name), digest: parseDigest(tail) };
    case 'referrers': {
      const artifactType = query?.get('artifactType');
      return { kind: 'referrers', name: checkName(name), digest: parseDigest(tail), ...(artifactType ? { artifactType } : {}) };
    }
    case 'tags':
      if (tail === 'list') return { kind: 'tags', name: checkName(name), ...pagingOf(query) };
  }
  throw new Failure('NOT_FOUND');
}

function checkName(name: string): string {
  const slash = name.indexOf('/');
  const first = name.slice(0, Math.max(slash, 0));
  const inPath = slash > 0 && looksLikeHost(first) && canonicalHost(first) !== undefined;
  const path = inPath ? name.slice(slash + 1) : name;
  if (name.length > 255 || !isRepositoryPath(path)) throw new Failure('NAME_INVALID');
  return name;
}

function pagingOf(query: URLSearchParams | undefined): Paging {
  const n = query?.get('n');
  const last = query?.get('last');
  if (n != null && !/^[0-9]{1,9}$/.test(n)) throw new Failure('PAGINATION_NUMBER_INVALID');
  return { ...(n == null ? {} : { n: Math.min(Number(n), MOST_PAGE) }), ...(last ? { last } : {}) };
}
