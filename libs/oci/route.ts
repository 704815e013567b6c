import { isDigest, parseDigest } from './digest.js';
import { Failure } from './failure.js';
import { canonicalHost, isRepositoryPath, isTag, looksLikeHost } from './reference.js';
import type { Digest } from './types.js';

/** The query's `ns`, percent-decoded and valid as a host, as the client wrote it. */
interface Namespaced {
  readonly ns?: string;
}

interface Paged {
  /** Page size; at most MAX_PAGE. */
  readonly n?: number;
  readonly last?: string;
}

/** A request of the pull half of distribution-spec. `name` may begin with an upstream's host. */
export type Route = Namespaced &
  (
    | { readonly kind: 'base' }
    | { readonly kind: 'manifest'; readonly name: string; readonly reference: string; readonly isDigest: boolean }
    | { readonly kind: 'blob'; readonly name: string; readonly digest: Digest }
    | ({ readonly kind: 'tags'; readonly name: string } & Paged)
    | ({
        readonly kind: 'referrers';
        readonly name: string;
        readonly digest: Digest;
        readonly artifactType?: string;
      } & Paged)
    | ({ readonly kind: 'catalog' } & Paged)
    /** Where clients get tokens when we ask them who they are; no part of distribution-spec. */
    | { readonly kind: 'token' }
  );

/** Larger page sizes are answered as this one. */
export const MAX_PAGE = 10_000;
const MAX_MARKER = 512;

/** Bytes that no repository, tag, digest or host holds and that proxies and file systems read in different ways. */
const FOREIGN = /[^\x21-\x7e]|[\\%#?"<>^`{|}]/;
const CONTROL = /\p{Cc}/u;
/** One segment alone is never a repository's. */
const TOKEN = 'token';

/**
 * Reads a raw HTTP request target (`/v2/...?query`, still percent-encoded) from its right end, so that repositories may be
 * named `manifests` or `x/tags/list`. With `prefix`, `/v2/<prefix>/...` and `/<prefix>/v2/...` mean `/v2/...`.
 * Throws Failure NAME_INVALID, DIGEST_INVALID, MANIFEST_INVALID (tag), PAGINATION_NUMBER_INVALID or NOT_FOUND.
 */
export function parseRoute(target: string, prefix?: string): Route {
  const mark = target.indexOf('?');
  const path = decodePath(mark < 0 ? target : target.slice(0, mark));
  const query = parseQuery(mark < 0 ? '' : target.slice(mark + 1));
  const below = belowApi(path, prefix);
  if (below === undefined) throw new Failure('NOT_FOUND');
  if (below === '') return { kind: 'base' };
  if (below === TOKEN) return { kind: 'token' };
  const ns = namespace(query);
  return { ...endpoint(below, query), ...(ns === undefined ? {} : { ns }) };
}

/** Whether a raw request target lies within the API, whatever it asks for there. */
export function isApiPath(target: string, prefix?: string): boolean {
  return rootOf(pathOf(target), prefix) !== undefined;
}

/** The path of the place that gives tokens, below the API root by which the client came. */
export function tokenPathFor(target: string, prefix?: string): string {
  return `${rootOf(pathOf(target), prefix) ?? '/v2'}/${TOKEN}`;
}

/** Whether a raw request target is that place. */
export function isTokenPath(target: string, prefix?: string): boolean {
  return pathOf(target) === tokenPathFor(target, prefix);
}

/** Of a target that may be a whole URL, as a proxy is asked. */
function pathOf(target: string): string {
  return target.split('?', 1)[0]!.replace(/^https?:\/\/[^/]*/i, '');
}

/** Only `%3A` is an encoding that clients send for names; any other would let two spellings mean one thing. */
function decodePath(raw: string): string {
  const path = raw.replace(/^https?:\/\/[^/]*/i, '').replaceAll(/%3a/gi, ':');
  if (FOREIGN.test(path) || path.includes('//') || path.split('/').some((part) => part === '.' || part === '..'))
    throw new Failure('NAME_INVALID', 'invalid characters in the request path');
  return path;
}

/** What follows `/v2/`, `''` for the version check, undefined when the path is outside the API. */
function belowApi(path: string, prefix?: string): string | undefined {
  const root = rootOf(path, prefix);
  return root === undefined ? undefined : path.slice(root.length + 1);
}

/** With what the API begins in this path, without a slash at its end. */
function rootOf(path: string, prefix = ''): string | undefined {
  const base = prefix.replaceAll(/^\/+|\/+$/g, '');
  const starts = base === '' ? ['/v2'] : [`/v2/${base}`, `/${base}/v2`, '/v2'];
  return starts.find((start) => path === start || path.startsWith(`${start}/`));
}

function endpoint(below: string, query: URLSearchParams): Route {
  if (below === '_catalog') return { kind: 'catalog', ...paging(query) };
  const lastSlash = below.lastIndexOf('/');
  const verbSlash = below.lastIndexOf('/', lastSlash - 1);
  if (verbSlash <= 0) throw new Failure('NOT_FOUND');
  const name = below.slice(0, verbSlash);
  const verb = below.slice(verbSlash + 1, lastSlash);
  const item = below.slice(lastSlash + 1);
  if (item === '') throw new Failure('NOT_FOUND');
  switch (verb) {
    case 'manifests':
      return { kind: 'manifest', name: checkName(name), ...manifestReference(item) };
    case 'blobs':
      return { kind: 'blob', name: checkName(name), digest: parseDigest(item) };
    case 'referrers':
      return {
        kind: 'referrers',
        name: checkName(name),
        digest: parseDigest(item),
        ...artifactType(query),
        ...paging(query),
      };
    case 'tags':
      if (item === 'list') return { kind: 'tags', name: checkName(name), ...paging(query) };
  }
  throw new Failure('NOT_FOUND');
}

function checkName(name: string): string {
  if (isRepositoryPath(name)) return name;
  const slash = name.indexOf('/');
  const host = name.slice(0, Math.max(slash, 0));
  if (looksLikeHost(host) && canonicalHost(host) !== undefined && isRepositoryPath(name.slice(slash + 1))) return name;
  throw new Failure('NAME_INVALID');
}

function manifestReference(item: string): { reference: string; isDigest: boolean } {
  if (item.includes(':')) return { reference: parseDigest(item), isDigest: isDigest(item) };
  if (!isTag(item)) throw new Failure('MANIFEST_INVALID');
  return { reference: item, isDigest: false };
}

/** Not as a form: a bare `+` stays, since media types hold one (`application/spdx+json`) and nothing here a space. */
function parseQuery(raw: string): URLSearchParams {
  return new URLSearchParams(raw.replaceAll('+', '%2B'));
}

function namespace(query: URLSearchParams): string | undefined {
  const values = query.getAll('ns');
  const ns = values[0];
  if (ns === undefined) return undefined;
  if (values.length > 1 || canonicalHost(ns) === undefined) throw new Failure('NAME_INVALID', 'invalid ns');
  return ns;
}

function paging(query: URLSearchParams): Paged {
  const n = query.get('n');
  const last = query.get('last');
  if (n !== null && !/^[0-9]+$/.test(n)) throw new Failure('PAGINATION_NUMBER_INVALID');
  if (last !== null && (last.length > MAX_MARKER || CONTROL.test(last)))
    throw new Failure('NAME_INVALID', 'invalid last');
  return { ...(n === null ? {} : { n: Math.min(Number(n), MAX_PAGE) }), ...(last === null ? {} : { last }) };
}

function artifactType(query: URLSearchParams): { artifactType?: string } {
  const value = query.get('artifactType');
  return value === null || value === '' ? {} : { artifactType: value };
}
