import type { Digest } from './types.js';

/** One challenge of RFC 9110 section 11.6.1; scheme and parameter names in lower case. */
export interface Challenge {
  readonly scheme: string;
  readonly params: Readonly<Record<string, string>>;
}

const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;

/** Several challenges in one header, quoted or unquoted parameters, commas within quotes. Stops at what is malformed. */
export function parseChallenges(header: string): Challenge[] {
  const challenges: { scheme: string; params: Record<string, string> }[] = [];
  let at = 0;
  const skip = (set: string) => {
    while (at < header.length && set.includes(header[at]!)) at++;
  };
  const token = (): string | undefined => {
    TOKEN.lastIndex = at;
    const found = TOKEN.exec(header)?.[0];
    if (found !== undefined) at += found.length;
    return found;
  };
  for (;;) {
    skip(' \t,');
    const word = token();
    if (word === undefined) return challenges;
    skip(' \t');
    if (header[at] !== '=') {
      challenges.push({ scheme: word.toLowerCase(), params: {} });
      continue;
    }
    at++;
    skip(' \t');
    const value = header[at] === '"' ? quoted() : (token() ?? '');
    const current = challenges.at(-1);
    if (current) current.params[word.toLowerCase()] = value;
  }

  function quoted(): string {
    let text = '';
    for (at++; at < header.length && header[at] !== '"'; at++) {
      if (header[at] === '\\') at++;
      text += header[at] ?? '';
    }
    at++;
    return text;
  }
}

/** Seconds from `now` (epoch ms), rounded up, at least 0; undefined when absent or malformed (RFC 9110 section 10.2.3). */
export function parseRetryAfter(value: string | undefined, now: number): number | undefined {
  if (value === undefined) return undefined;
  if (/^\s*[0-9]{1,9}\s*$/.test(value)) return Number(value);
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, Math.ceil((date - now) / 1000));
}

/** The target of `rel="next"` (RFC 8288), undefined when there is none. */
export function parseNextLink(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  for (const match of header.matchAll(/<([^>]*)>([^<]*)/g)) {
    if (/;\s*rel\s*=\s*"?next"?/i.test(match[2]!)) return match[1];
  }
  return undefined;
}

/** Whether If-None-Match names `digest`: quoted, a list, weak, `*`, or unquoted as some clients send it. */
export function etagMatches(ifNoneMatch: string, digest: Digest): boolean {
  return ifNoneMatch.split(',').some((part) => {
    const tag = part.trim().replace(/^W\//, '');
    return tag === '*' || tag === digest || tag === `"${digest}"`;
  });
}
