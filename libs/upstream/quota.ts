import type { Quota } from './port.js';
import type { Answer } from './transport.js';

/** One request as rate limits see it. */
export interface Counted {
  readonly method: 'GET' | 'HEAD';
  readonly content: 'manifests' | 'blobs' | 'tags' | 'referrers';
}

/** Upstreams that count only some requests. Docker Hub counts a pull as the GET of a manifest; HEAD and blobs are free. */
const COUNTED_ONLY: Readonly<Record<string, readonly Counted[]>> = {
  'docker.io': [{ method: 'GET', content: 'manifests' }],
};

/** Whether some requests to this upstream are free of its limits. */
export function countsOnlySome(host: string): boolean {
  return Object.hasOwn(COUNTED_ONLY, host);
}

export function isCounted(host: string, request: Counted): boolean {
  const only = COUNTED_ONLY[host];
  return !only || only.some(({ method, content }) => method === request.method && content === request.content);
}

/** `100;w=21600` (Docker Hub), `100, 100;window=60` (IETF drafts) or a bare number. */
const AMOUNT = /^\s*(\d{1,12})\b(?:.*?[;,]\s*w(?:indow)?\s*=\s*(\d{1,9}))?/i;
/** A reset this large is a point in time, not a number of seconds. */
const EPOCH = 1_000_000_000;

/** B15: what an answer tells about the rate limit, if anything; `now` in epoch ms. */
export function quotaOf(answer: Pick<Answer, 'header'>, now: number): Quota | undefined {
  const field = (name: string) => answer.header(`ratelimit-${name}`) ?? answer.header(`x-ratelimit-${name}`);
  const limit = AMOUNT.exec(field('limit') ?? '');
  const remaining = AMOUNT.exec(field('remaining') ?? '');
  if (!limit || !remaining) return undefined;
  const window = limit[2] ?? remaining[2];
  const reset = /^\s*(\d{1,12})/.exec(field('reset') ?? '')?.[1];
  const seconds = Number(reset) < EPOCH ? Number(reset) : Math.max(0, Number(reset) - Math.floor(now / 1000));
  return {
    limit: Number(limit[1]),
    remaining: Number(remaining[1]),
    ...(window === undefined ? {} : { window: Number(window) }),
    ...(reset === undefined ? {} : { reset: seconds }),
    at: now,
  };
}
