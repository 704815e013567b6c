import type { Authorization, AuthorizedRequest } from './authorization.js';
import { upstreamFailure } from './failures.js';
import type { Answer } from './transport.js';

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const MOST_HOPS = 5;

/** Where an answer came from. */
export interface Followed {
  readonly answer: Answer;
  readonly redirected: boolean;
}

export interface FollowedRequest extends AuthorizedRequest {
  /** Sees each answer of the endpoint itself, before a redirect is followed. */
  readonly onFirst?: (answer: Answer) => void;
}

/**
 * Sends and follows redirects. Each hop is authorised as what it is: the endpoint's own origin (scheme, host and port) with its
 * credentials, any other anonymously, so that no Authorization crosses to another origin.
 */
export class Redirects {
  constructor(private readonly authorization: Authorization) {}

  /** Rejects as `Authorization.send` does, and with UPSTREAM_ERROR for a redirect that is not followed. */
  async send(request: FollowedRequest): Promise<Followed> {
    const first = await this.follow(request);
    if (!first.redirected || (first.answer.status !== 401 && first.answer.status !== 403)) return first;
    // B21: the signed address that we were given may just have expired.
    first.answer.discard();
    return this.follow(request);
  }

  private async follow(request: FollowedRequest): Promise<Followed> {
    let { url } = request;
    for (let hops = 0; ; hops++) {
      const answer = await this.authorization.send({ ...request, url });
      if (hops === 0) request.onFirst?.(answer);
      const location = REDIRECTS.has(answer.status) ? answer.header('location') : undefined;
      if (location === undefined) return { answer, redirected: hops > 0 };
      answer.discard();
      if (hops === MOST_HOPS) throw refused('redirects too often');
      url = target(location, url);
    }
  }
}

/** Relative to `from`, as RFC 9110 10.2.2 allows. */
function target(location: string, from: URL): URL {
  if (!URL.canParse(location, from.href)) throw refused('redirects to nowhere');
  const url = new URL(location, from);
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw refused('redirects to another protocol');
  if (url.protocol === 'http:' && from.protocol === 'https:') throw refused('redirects from https to http');
  if (url.username !== '' || url.password !== '') throw refused('redirects with credentials');
  url.hash = '';
  return url;
}

function refused(what: string) {
  return upstreamFailure('UPSTREAM_ERROR', `the upstream registry ${what}`, { retryable: false });
}
