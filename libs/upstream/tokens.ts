import { isIP } from 'node:net';
import { LRUCache } from 'lru-cache';
import { SingleFlight, unless } from '#async';
import { readBody } from './bodies.js';
import type { Endpoint } from './endpoints.js';
import { denied, rateLimited, statusFailure, upstreamFailure } from './failures.js';
import type { Answer, Transport, TransportRequest } from './transport.js';

/** What a token is good for, and who buys it. */
export interface TokenRequest {
  readonly endpoint: Endpoint;
  /** Origin of the registry that sent the challenge; the endpoint's own, or where a redirect led. */
  readonly origin: string;
  readonly realm: string;
  readonly service?: string;
  readonly scope?: string;
  /** Basic credentials, only ever for the endpoint's own origin. */
  readonly authorization?: string;
  /** Refresh token, only ever for the endpoint's own origin. */
  readonly identityToken?: string;
}

interface CachedToken {
  readonly token: string;
  /** Epoch milliseconds from which on it is not used any more. */
  readonly until: number;
}

/** Tokens that are kept, and bytes of them: some registries sign kilobytes, and what is thrown away is bought again. */
const MOST_TOKENS = 10_000;
const MOST_BYTES = 16 * 2 ** 20;
/** distribution "Token Authentication Specification": without `expires_in` it is 60 s. */
const DEFAULT_LIFE = 60;
const LONGEST_LIFE = 24 * 3600;
/** A token is renewed so long before its end, but no earlier than after nine tenths of its life. Milliseconds. */
const MARGIN = 10_000;
const MAX_REPLY = 256 * 1024;
const TOKEN = /^[\x21-\x7e]{1,65536}$/;

/** Bearer tokens, cached until shortly before they expire and fetched once for all who wait. */
export class Tokens {
  private readonly cache = new LRUCache<string, CachedToken>({
    max: MOST_TOKENS,
    maxSize: MOST_BYTES,
    sizeCalculation: ({ token }, key) => key.length + token.length,
    dispose: ({ token }) => this.byToken.delete(token),
  });
  private readonly byToken = new Map<string, string>();
  private readonly flights = new SingleFlight<string>();

  constructor(private readonly transport: Transport) {}

  /** Rejects with Failure DENIED, RATE_LIMITED (B12) or UPSTREAM_*, or with the signal's reason. */
  async get(request: TokenRequest, signal?: AbortSignal): Promise<string> {
    const key = keyOf(request);
    const cached = this.cache.get(key);
    if (cached && cached.until > Date.now()) return cached.token;
    // The fetch belongs to everyone who waits for it, so that one caller's signal does not end it.
    return unless(
      signal,
      this.flights.run(key, () => this.fetch(key, request)),
    );
  }

  /** `token` was refused; a newer one stays. */
  forget(token: string): void {
    const key = this.byToken.get(token);
    if (key !== undefined && this.cache.peek(key)?.token === token) this.cache.delete(key);
  }

  private async fetch(key: string, request: TokenRequest): Promise<string> {
    const url = realmOf(request);
    const scopes = request.scope?.split(' ').filter(Boolean) ?? [];
    const asked = Date.now();
    const { endpoint, service, authorization, identityToken } = request;
    const trusted = url.hostname === new URL(endpoint.origin).hostname && request.origin === endpoint.origin;
    let what: Pick<TransportRequest, 'method' | 'headers' | 'body'>;
    if (identityToken) {
      // distribution "OAuth2 token authentication": POST, so that the refresh token stands in no log of URLs.
      const form = { grant_type: 'refresh_token', refresh_token: identityToken, client_id: 'ociregistry' };
      const body = new URLSearchParams({
        ...form,
        ...(service ? { service } : {}),
        scope: scopes.join(' '),
      }).toString();
      what = { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' }, body };
    } else {
      if (service !== undefined) url.searchParams.set('service', service);
      for (const scope of scopes) url.searchParams.append('scope', scope);
      what = { method: 'GET', headers: authorization ? { authorization } : {} };
    }
    const headers = { ...what.headers, accept: 'application/json' };
    const answer = await this.transport.send({ ...what, headers, url, endpoint, trusted });
    const { token, life } = await this.parse(answer);
    const milliseconds = life * 1000;
    this.cache.set(key, { token, until: asked + Math.max(milliseconds - MARGIN, milliseconds * 0.9) });
    this.byToken.set(token, key);
    return token;
  }

  private async parse(answer: Answer): Promise<{ token: string; life: number }> {
    if (answer.status !== 200) {
      answer.discard();
      if (answer.status === 429) throw rateLimited(answer);
      if (answer.status === 400 || answer.status === 401 || answer.status === 403) throw denied();
      // That the token service is not there says nothing about the manifest.
      if (answer.status < 500)
        throw upstreamFailure(
          'UPSTREAM_ERROR',
          `the token service of the upstream registry answered with status ${answer.status}`,
        );
      throw statusFailure(answer, 'MANIFEST_UNKNOWN');
    }
    const bytes = await readBody(answer, MAX_REPLY);
    const { token, access_token, expires_in } = fieldsOf(bytes);
    const value = typeof token === 'string' && token !== '' ? token : access_token;
    if (typeof value !== 'string' || !TOKEN.test(value)) {
      throw upstreamFailure('UPSTREAM_ERROR', 'the token service of the upstream registry sent no token');
    }
    const seconds = Number(expires_in);
    return { token: value, life: seconds > 0 ? Math.min(seconds, LONGEST_LIFE) : DEFAULT_LIFE };
  }
}

/** Nothing for anything but a JSON object, and without its text: it may hold a token. */
function fieldsOf(bytes: Buffer): Record<string, unknown> {
  try {
    return Object(JSON.parse(bytes.toString('utf8')));
  } catch {
    return {};
  }
}

function keyOf({ endpoint, origin, realm, service, scope, authorization, identityToken }: TokenRequest): string {
  return JSON.stringify([endpoint.host, origin, authorization, identityToken, realm, service, scope]);
}

/** B7: never an address or localhost unless that is the registry itself, never plain after https. */
function realmOf({ origin, realm }: TokenRequest): URL {
  const registry = new URL(origin);
  const url = URL.canParse(realm) ? new URL(realm) : undefined;
  const name = url?.hostname.replace(/^\[|\]$/g, '') ?? '';
  const elsewhere = url?.hostname !== registry.hostname;
  if (
    !url ||
    (url.protocol !== 'https:' && (url.protocol !== 'http:' || registry.protocol === 'https:')) ||
    url.username !== '' ||
    url.password !== '' ||
    (elsewhere && (isIP(name) !== 0 || name === 'localhost' || name.endsWith('.localhost')))
  ) {
    throw upstreamFailure('UPSTREAM_ERROR', 'the upstream registry names a token service that is not allowed', {
      retryable: false,
    });
  }
  url.hash = '';
  return url;
}
