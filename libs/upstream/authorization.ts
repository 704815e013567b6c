import { isDeepStrictEqual } from 'node:util';
import { LRUCache } from 'lru-cache';
import { type Challenge, Failure, parseChallenges } from '#oci';
import type { CredentialSource } from './credentials/source.js';
import type { Endpoint } from './endpoints.js';
import type { Credentials } from './options.js';
import type { TokenRequest, Tokens } from './tokens.js';
import type { Answer, Transport, TransportRequest } from './transport.js';

export interface AuthorizedRequest extends TransportRequest {
  /** The repository's path, for the scope. */
  readonly repository: string;
}

/** What to show for a repository at an origin; learnt from its last challenge. */
interface Learnt {
  readonly scheme: 'basic' | 'bearer';
  readonly realm: string;
  readonly service?: string;
  /** As the challenge said it; else `repository:<path>:pull`. */
  readonly scope?: string;
}

const MOST_LEARNT = 10_000;
/** Of the texts in them, which the registry chose; in UTF-16 units. */
const MOST_LEARNT_TEXT = 8 * 2 ** 20;

/**
 * Answers challenges: request -> 401 -> token (or Basic) -> the request again, once. What a registry asked for is remembered,
 * so that the next request comes with the right token at once.
 *
 * Credentials are used only where the endpoint itself asks for them, never where a redirect has led.
 */
export class Authorization {
  private readonly learnt = new LRUCache<string, Learnt>({
    max: MOST_LEARNT,
    maxSize: MOST_LEARNT_TEXT,
    sizeCalculation: ({ realm, service = '', scope = '' }, key) =>
      key.length + realm.length + service.length + scope.length + 1,
  });

  constructor(
    private readonly transport: Transport,
    private readonly tokens: Tokens,
  ) {}

  /** The answer, which may still be a 401. Rejects as `Transport.send` and `Tokens.get` do. */
  async send(request: AuthorizedRequest): Promise<Answer> {
    const known = this.recall(request);
    const shown = await this.header(request, known);
    const answer = await this.transport.send(withAuthorization(request, shown));
    if (answer.status !== 401) return answer;
    const challenged = pick(parseChallenges(answer.header('www-authenticate'))) ?? (await this.ping(request));
    if (!challenged) return answer;
    // B4: what was shown has expired or was revoked.
    if (shown && known?.scheme === 'bearer') this.tokens.forget(shown.slice(BEARER.length));
    else if (shown) sourceFor(request)?.refused();
    const next = await this.header(request, challenged).catch((error) => {
      answer.discard();
      throw error;
    });
    // Not before, so that a challenge of one repository that leads nowhere does not stand in the way of others.
    this.remember(request, challenged);
    if (next === undefined || next === shown) return answer;
    answer.discard();
    return this.transport.send(withAuthorization(request, next));
  }

  /** B11: some registries answer 401 without a challenge, but send one on `/v2/`. */
  private async ping(request: AuthorizedRequest): Promise<Learnt | undefined> {
    const { endpoint, url, signal } = request;
    if (url.origin !== endpoint.origin) return undefined;
    const answer = await this.transport.send({
      method: 'GET',
      url: new URL('/v2/', url),
      headers: {},
      endpoint,
      signal,
    });
    answer.discard();
    const challenge = answer.status === 401 ? pick(parseChallenges(answer.header('www-authenticate'))) : undefined;
    // The scope of `/v2/`, if any, is not this repository's.
    return challenge && { ...challenge, scope: undefined };
  }

  private async header(request: AuthorizedRequest, learnt: Learnt | undefined): Promise<string | undefined> {
    const source = sourceFor(request);
    const credentials = await source?.get();
    try {
      return await this.headerWith(request, learnt, credentials);
    } catch (error) {
      if (!source || !(error instanceof Failure) || error.reason !== 'DENIED') throw error;
      // The token service did not take them; they may just have been replaced.
      source.refused();
      const renewed = await source.get();
      if (isDeepStrictEqual(renewed, credentials)) throw error;
      return this.headerWith(request, learnt, renewed);
    }
  }

  private async headerWith(
    request: AuthorizedRequest,
    learnt: Learnt | undefined,
    credentials: Credentials | undefined,
  ): Promise<string | undefined> {
    if (credentials?.token) return BEARER + credentials.token;
    if (!learnt) return undefined;
    if (learnt.scheme === 'basic') return basic(credentials);
    return BEARER + (await this.tokens.get(tokenRequest(request, learnt, credentials), request.signal));
  }

  private recall(request: AuthorizedRequest): Learnt | undefined {
    return this.learnt.get(keyOf(request, request.repository)) ?? this.learnt.get(keyOf(request));
  }

  private remember(request: AuthorizedRequest, learnt: Learnt): void {
    this.learnt.set(keyOf(request, request.repository), learnt);
    // Other repositories of this registry: the same realm and service, their own scope.
    this.learnt.set(keyOf(request), { ...learnt, scope: undefined });
  }
}

const BEARER = 'Bearer ';

function keyOf({ endpoint, url }: { endpoint: Endpoint; url: URL }, repository = ''): string {
  return `${endpoint.host} ${url.origin} ${repository}`;
}

function withAuthorization(request: TransportRequest, authorization: string | undefined): TransportRequest {
  return authorization === undefined ? request : { ...request, headers: { ...request.headers, authorization } };
}

function tokenRequest(
  { endpoint, url, repository }: AuthorizedRequest,
  { realm, service, scope }: Learnt,
  credentials: Credentials | undefined,
): TokenRequest {
  return {
    endpoint,
    origin: url.origin,
    realm,
    service,
    scope: scope ?? `repository:${repository}:pull`,
    authorization: basic(credentials),
    identityToken: credentials?.identityToken,
  };
}

/** B14: none where a redirect has led. */
function sourceFor({ endpoint, url }: AuthorizedRequest): CredentialSource | undefined {
  return url.origin === endpoint.origin ? endpoint.credentials : undefined;
}

function basic(credentials: Credentials | undefined): string | undefined {
  if (!credentials?.user) return undefined;
  return `Basic ${Buffer.from(`${credentials.user}:${credentials.password ?? ''}`).toString('base64')}`;
}

/** The challenge that we can answer best. */
function pick(challenges: readonly Challenge[]): Learnt | undefined {
  const bearer = challenges.find(({ scheme, params }) => scheme === 'bearer' && params.realm);
  const { realm, service, scope } = bearer?.params ?? {};
  if (realm) return { scheme: 'bearer', realm, ...(service ? { service } : {}), ...(scope ? { scope } : {}) };
  return challenges.some(({ scheme }) => scheme === 'basic') ? { scheme: 'basic', realm: '' } : undefined;
}
