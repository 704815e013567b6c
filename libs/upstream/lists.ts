import { type Descriptor, type Link, nextPage, OCI_INDEX, parseLink, parseReferrers, parseTagList } from '#oci';
import { readBody } from './bodies.js';
import { statusFailure, upstreamFailure } from './failures.js';
import { manifestOf } from './manifests.js';
import type { Answer } from './transport.js';

/** Asks for a page; `query` is empty or begins behind the question mark. */
type GetPage = (query: string) => Promise<Answer>;

/** Tags asked for at once: the most that the common registries take. */
const PAGE = 1000;
const MOST_PAGES = 1000;
/** One page. Google's registries send the digests of the whole repository with it. Bytes. */
const MAX_PAGE = 16 * 2 ** 20;
const MOST_TAGS = 500_000;
const MOST_REFERRERS = 10_000;
/** How a registry says that it does not know the referrers API (A111); others answer 404 for an unknown repository too. */
const NO_REFERRERS: ReadonlySet<number> = new Set([400, 404, 405, 406, 410, 501]);
const MOST_QUERY = 2048;
/** Bytes. */
const MAX_ERROR = 64 * 1024;

/** Registries learn the API with time. */
export const WITHOUT_REFERRERS = { max: 10_000, ttl: 10 * 60_000 };

/** distribution-spec "Listing Tags", to the last page. */
export async function listTags(get: GetPage, signal?: AbortSignal): Promise<string[]> {
  const tags = new Set<string>();
  let query = `n=${PAGE}`;
  for (let pages = 0; pages < MOST_PAGES; pages++) {
    let answer = await get(query);
    // Some refuse any page size above their own.
    if (answer.status === 400 && pages === 0) {
      answer.discard();
      answer = await get('');
    }
    const found = parseTagList(await bodyOf(answer, signal));
    for (const tag of found) tags.add(tag);
    if (tags.size > MOST_TAGS) throw tooLong();
    const next = nextTags(answer.header('link'), found.at(-1));
    if (next === undefined || next === query) return [...tags];
    query = next;
  }
  throw tooLong();
}

/** B37: of the link only `last` and `n`, so that it cannot lead elsewhere; without a `last` the page's own end. */
function nextTags(link: string | undefined, end: string | undefined): string | undefined {
  const last = nextPage(link)?.last ?? (nextOf(link) === undefined ? undefined : end);
  return last === undefined ? undefined : `n=${nextPage(link)?.n ?? PAGE}&last=${encodeURIComponent(last)}`;
}

/** Why there is no list of referrers. */
type NoReferrers = 'unknown API' | 'unknown repository';

/** distribution-spec "Listing Referrers", to the last page. */
export async function listReferrers(get: GetPage, signal?: AbortSignal): Promise<Descriptor[] | NoReferrers> {
  const referrers = new Map<string, Descriptor>();
  let query = '';
  for (let pages = 0; pages < MOST_PAGES; pages++) {
    const answer = await get(query);
    if (pages === 0 && NO_REFERRERS.has(answer.status)) {
      return (await saysUnknownName(answer, signal)) ? 'unknown repository' : 'unknown API';
    }
    const found = parseReferrers(await bodyOf(answer, signal));
    if (!found) throw upstreamFailure('UPSTREAM_CONTENT', 'the upstream registry sent no index of referrers');
    for (const descriptor of found) referrers.set(descriptor.digest, descriptor);
    if (referrers.size > MOST_REFERRERS) throw tooLong();
    // Unlike that of tags, the spec does not say what this query holds. It is asked of the same path all the same.
    const next = nextOf(answer.header('link'));
    const mark = next?.target.indexOf('?') ?? -1;
    const following = next?.target.slice(mark + 1).split('#', 1)[0] ?? '';
    if (mark < 0 || following === query || following === '' || following.length > MOST_QUERY)
      return [...referrers.values()];
    query = new URLSearchParams(following).toString();
  }
  throw tooLong();
}

/** A registry with the API says so of a repository that may come yet; of one without it every 404 is about the path. */
async function saysUnknownName(answer: Answer, signal?: AbortSignal): Promise<boolean> {
  if (answer.status === 404) {
    const body = await readBody(answer, MAX_ERROR, signal).catch(() => Buffer.alloc(0));
    return body.includes('"NAME_UNKNOWN"');
  }
  answer.discard();
  return false;
}

/** What the tag that stands in for the API names: an index (A112), or nothing. */
export async function fallbackReferrers(answer: Answer, signal?: AbortSignal): Promise<Descriptor[]> {
  if (answer.status === 404 || answer.status === 410) {
    answer.discard();
    return [];
  }
  const { mediaType, bytes } = await manifestOf(answer, '', signal);
  return mediaType === OCI_INDEX ? (parseReferrers(bytes) ?? []) : [];
}

function nextOf(header: string | undefined): Link | undefined {
  return parseLink(header).find(({ params }) => (params.rel ?? '').toLowerCase().split(/\s+/).includes('next'));
}

async function bodyOf(answer: Answer, signal?: AbortSignal): Promise<Buffer> {
  if (answer.status !== 200) {
    answer.discard();
    throw statusFailure(answer, 'NAME_UNKNOWN');
  }
  return readBody(answer, MAX_PAGE, signal);
}

function tooLong() {
  return upstreamFailure('UPSTREAM_CONTENT', 'the upstream registry sent a list that is too long');
}
