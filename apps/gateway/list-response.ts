import {
  type Descriptor,
  MAX_PAGE,
  OCI_INDEX,
  type Page,
  type PageQuery,
  pageOf,
  type Route,
  referrersIndex,
} from '#oci';
import type { ServedList } from '#registry';
import { sendJson } from './json-response.js';
import { timingOf } from './observation.js';
import type { Exchange } from './pull-api.js';
import type { components } from './registry-api.js';

type ListRoute<K extends 'tags' | 'referrers' | 'catalog'> = Extract<Route, { readonly kind: K }>;

const MOST_REFERRERS = 1000;
/** Clients read no index larger than a manifest may be (distribution-spec "Pushing Manifests"). Bytes. */
const MAX_INDEX = 4_000_000;

/** distribution-spec "Listing Tags". */
export function sendTags(exchange: Exchange, route: ListRoute<'tags'>, list: ServedList<string>, outer: string): void {
  const page = pageOf(list.entries, route, { keyOf: (tag) => tag, most: MAX_PAGE });
  const body: components['schemas']['TagList'] = { name: route.name, tags: page.entries };
  sendJson(exchange, 200, JSON.stringify(body), [...link(exchange, route, page, outer), ...told(exchange, list)]);
}

/** What `_catalog` answers since Docker Registry 2.1; no part of distribution-spec. */
export function sendCatalog(exchange: Exchange, route: ListRoute<'catalog'>, page: Page<string>, outer: string): void {
  const body: components['schemas']['RepositoryList'] = { repositories: page.entries };
  sendJson(exchange, 200, JSON.stringify(body), link(exchange, route, page, outer));
}

/** distribution-spec "Listing Referrers". */
export function sendReferrers(
  exchange: Exchange,
  route: ListRoute<'referrers'>,
  list: ServedList<Descriptor>,
  outer: string,
): void {
  const { artifactType } = route;
  const wanted = list.entries.filter(
    (referrer) => artifactType === undefined || referrer.artifactType === artifactType,
  );
  const page = pageOf(wanted, route, {
    keyOf: ({ digest }) => digest,
    most: MOST_REFERRERS,
    weightOf: (referrer) => Buffer.byteLength(JSON.stringify(referrer)),
    mostWeight: MAX_INDEX,
  });
  const body: components['schemas']['ReferrersIndex'] = referrersIndex(page.entries);
  const extra = [
    ...(artifactType === undefined ? [] : ['oci-filters-applied', 'artifactType']),
    ...link(exchange, route, page, outer, artifactType === undefined ? {} : { artifactType }),
    ...told(exchange, list),
  ];
  sendJson(exchange, 200, JSON.stringify(body), extra, OCI_INDEX);
}

/**
 * Where the list goes on: the client's own path, so that prefix and in-path host stay, with the query that matters. `outer` is
 * what a proxy has taken from its front.
 */
function link(
  { req, ns }: Exchange,
  { n }: PageQuery,
  { next }: Page<unknown>,
  outer: string,
  more: Readonly<Record<string, string>> = {},
): string[] {
  if (next === undefined) return [];
  const own = (req.url ?? '/').split('?', 1)[0]!.replace(/^https?:\/\/[^/]*/i, '');
  const path = own.startsWith(`${outer}/`) ? own : outer + own;
  const query = Object.entries({
    ...(n === undefined ? {} : { n: String(n) }),
    last: next,
    ...more,
    ...(ns === undefined ? {} : { ns }),
  });
  const text = query.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&');
  return ['link', `<${path}?${text}>; rel="next"`];
}

/** How the list came about, where it was not simply cached. */
function told(exchange: Exchange, { origin, source, warning }: ServedList<unknown>): string[] {
  const { account } = exchange;
  account.hit = origin === 'hit' || origin === 'stale';
  account.outcome = origin;
  if (source) account.source = source;
  return [...timingOf(exchange), ...(warning === undefined ? [] : ['warning', `299 - "${warning}"`])];
}
