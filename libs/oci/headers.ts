import { MAX_PAGE } from './route.js';
import type { Digest } from './types.js';

/** RFC 9110 11.6.1. */
export interface Challenge {
  /** Lower case: `bearer`, `basic`. */
  readonly scheme: string;
  /** By lower-case name. */
  readonly params: Readonly<Record<string, string>>;
}

/** RFC 8288. */
export interface Link {
  /** As written, relative or absolute. */
  readonly target: string;
  /** By lower-case name. */
  readonly params: Readonly<Record<string, string>>;
}

/** A header is read up to here; real ones are far shorter. Characters. */
const MAX_HEADER = 16_384;
/** The longest time-out that a Retry-After can ask of us. Seconds. */
const MAX_RETRY_AFTER = 86_400;
const PARAM = /([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"?|([^\s,;"]*))/y;
const SCHEME = /([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:[ \t]+(?![ \t=])|(?=[ \t]*(?:,|$)))/y;
const TOKEN68 = /[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$))/y;
const LIST_GAP = /[ \t,]*/y;
const LINK_GAP = /[ \t;]*/y;
const HTTP_DATE = /^[A-Za-z]{3,9},? [A-Za-z0-9 :-]{1,40}$/;

/** Moves a sticky pattern over a text; each one starts where the last matched. */
class Scanner {
  #at = 0;

  constructor(private readonly text: string) {}

  get done(): boolean {
    return this.#at >= this.text.length;
  }

  take(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.text);
    if (match !== null) this.#at = pattern.lastIndex;
    return match;
  }
}

/** Every challenge of a WWW-Authenticate header (or of several lines of it). Stops at what it cannot read. */
export function parseChallenges(header: string | readonly string[] | undefined): Challenge[] {
  const text = typeof header === 'string' ? header : (header ?? []).join(', ');
  const scanner = new Scanner(text.slice(0, MAX_HEADER));
  const challenges: Challenge[] = [];
  let params: Record<string, string> | undefined;
  for (;;) {
    scanner.take(LIST_GAP);
    if (scanner.done) return challenges;
    const param = params === undefined ? null : scanner.take(PARAM);
    if (params !== undefined && param !== null) {
      addParam(params, param);
      continue;
    }
    const scheme = scanner.take(SCHEME)?.[1];
    if (scheme === undefined) return challenges;
    params = emptyParams();
    challenges.push({ scheme: scheme.toLowerCase(), params });
    scanner.take(TOKEN68);
  }
}

/** Every link of a Link header. Stops at what it cannot read. */
export function parseLink(header: string | undefined): Link[] {
  const scanner = new Scanner((header ?? '').slice(0, MAX_HEADER));
  const links: Link[] = [];
  for (;;) {
    scanner.take(LIST_GAP);
    const target = scanner.take(/<([^<>]*)>/y)?.[1];
    if (target === undefined) return links;
    const params = emptyParams();
    links.push({ target: target.trim(), params });
    for (;;) {
      scanner.take(LINK_GAP);
      const param = scanner.take(PARAM);
      if (param === null) break;
      addParam(params, param);
    }
  }
}

/** Where a paged list goes on: only `n` and `last` of the `next` link, so that an upstream cannot send us elsewhere. */
export function nextPage(header: string | undefined): { n?: number; last?: string } | undefined {
  const next = parseLink(header).find((link) => (link.params.rel ?? '').toLowerCase().split(/\s+/).includes('next'));
  const mark = next?.target.indexOf('?') ?? -1;
  if (next === undefined || mark < 0) return undefined;
  const query = new URLSearchParams(next.target.slice(mark + 1));
  const last = query.get('last');
  const n = query.get('n');
  if (last === null) return undefined;
  return { last, ...(n !== null && /^[0-9]+$/.test(n) ? { n: Math.min(Number(n), MAX_PAGE) } : {}) };
}

function emptyParams(): Record<string, string> {
  return Object.create(null) as Record<string, string>;
}

function addParam(params: Record<string, string>, match: RegExpExecArray): void {
  const [, name = '', quoted, token = ''] = match;
  // The first of two wins, so that nothing appended to a header changes what was said before.
  params[name.toLowerCase()] ??= quoted === undefined ? token : quoted.replaceAll(/\\(.)/g, '$1');
}

/** Whole seconds to wait, from seconds or a date; `now` in ms since the epoch. At most a day; undefined when unreadable. */
export function parseRetryAfter(value: string | undefined, now: number): number | undefined {
  const text = value?.trim() ?? '';
  if (/^[0-9]+$/.test(text)) return Math.min(Number(text), MAX_RETRY_AFTER);
  // RFC 9110 5.6.7: asctime dates name no zone and mean GMT.
  const at = HTTP_DATE.test(text) ? Date.parse(text.endsWith('GMT') ? text : `${text} GMT`) : Number.NaN;
  if (Number.isNaN(at)) return undefined;
  return Math.min(Math.max(Math.ceil((at - now) / 1000), 0), MAX_RETRY_AFTER);
}

/** Whether If-None-Match holds `digest`: weak comparison, a list, `*`, or unquoted as some clients send it. */
export function etagMatches(ifNoneMatch: string | undefined, digest: Digest): boolean {
  return (ifNoneMatch ?? '').split(',').some((part) => {
    const tag = part.trim().replace(/^W\//, '');
    return tag === '*' || tag === digest || tag === `"${digest}"`;
  });
}
