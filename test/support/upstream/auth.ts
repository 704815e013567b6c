import { randomUUID } from 'node:crypto';

export type AuthOptions =
  | { readonly scheme: 'anonymous' }
  | { readonly scheme: 'basic'; readonly user: string; readonly password: string }
  | BearerOptions;

export interface BearerOptions {
  readonly scheme: 'bearer';
  /** Without a user everybody gets tokens. */
  readonly user?: string;
  readonly password?: string;
  /** A refresh token that buys tokens by POST. */
  readonly identityToken?: string;
  /** Who may pull what; default everyone who may have a token. `user` is undefined for anonymous callers. */
  readonly allows?: (user: string | undefined, repository: string) => boolean;
  /** Seconds a token lives; default 300. */
  readonly expiresIn?: number;
  /** `expires_in` is left out of the reply. */
  readonly hideExpiry?: boolean;
  /** Default both. */
  readonly field?: 'token' | 'access_token';
  /** Default: this fake's `/token`. */
  readonly realm?: string;
  /** Default fake-registry. Token requests for another service are refused. */
  readonly service?: string;
  /** The WWW-Authenticate header(s) instead of the usual one; undefined sends none. `/v2/` always has the usual one. */
  readonly challenge?: (usual: string) => string | readonly string[] | undefined;
  /** Shared by several fakes whose tokens are good for each other. */
  readonly issuer?: TokenIssuer;
}

interface Token {
  readonly user?: string;
  readonly scopes: readonly string[];
  readonly expires: number;
}

/** Tokens that were given out. */
export class TokenIssuer {
  private readonly tokens = new Map<string, Token>();
  /** Given out so far. */
  issued = 0;

  issue(user: string | undefined, scopes: readonly string[], seconds: number): string {
    const token = randomUUID();
    this.issued++;
    this.tokens.set(token, { user, scopes, expires: Date.now() + seconds * 1000 });
    return token;
  }

  find(token: string): Token | undefined {
    const found = this.tokens.get(token);
    return found && found.expires > Date.now() ? found : undefined;
  }

  /** Every token given out is worth nothing from now on. */
  revokeAll(): void {
    this.tokens.clear();
  }
}

export interface Refusal {
  readonly status: number;
  readonly challenge?: string | readonly string[];
}

/** Whether a registry request may go on. `repository` is undefined for `/v2/`. */
export function check(
  auth: AuthOptions,
  issuer: TokenIssuer,
  authorization: string | undefined,
  repository: string | undefined,
  ownRealm: string,
): Refusal | undefined {
  if (auth.scheme === 'anonymous') return undefined;
  if (auth.scheme === 'basic') {
    if (basicUser(authorization, auth) !== undefined) return undefined;
    return { status: 401, challenge: 'Basic realm="fake"' };
  }
  const scope = repository === undefined ? undefined : `repository:${repository}:pull`;
  const { realm = ownRealm, service = 'fake-registry' } = auth;
  const usual = (error?: string) =>
    `Bearer realm="${realm}",service="${service}"${scope ? `,scope="${scope}"` : ''}${error ? `,error="${error}"` : ''}`;
  const refuse = (error?: string): Refusal => ({
    status: 401,
    challenge: scope && auth.challenge ? auth.challenge(usual(error)) : usual(error),
  });
  const bearer = /^Bearer (\S+)$/i.exec(authorization ?? '')?.[1];
  if (!bearer) return refuse();
  const token = issuer.find(bearer);
  if (!token) return refuse('invalid_token');
  if (scope && !token.scopes.includes(scope)) return refuse('insufficient_scope');
  return undefined;
}

/** The answer of a token endpoint (distribution token authentication specification, GET form). */
export function tokenReply(
  auth: BearerOptions,
  issuer: TokenIssuer,
  authorization: string | undefined,
  query: URLSearchParams,
): { status: number; body: unknown } {
  if (authorization !== undefined && !/^Basic /i.test(authorization))
    return { status: 400, body: { details: 'not Basic' } };
  const refresh = query.get('grant_type') === 'refresh_token' ? query.get('refresh_token') : null;
  if (refresh !== null && refresh !== auth.identityToken) return { status: 401, body: { details: 'invalid_grant' } };
  const user = refresh === null ? basicUser(authorization, auth) : 'identity';
  if (authorization !== undefined && user === undefined)
    return { status: 401, body: { details: 'incorrect username or password' } };
  if (auth.user !== undefined && user === undefined && !auth.allows)
    return { status: 401, body: { details: 'unauthorized' } };
  if (query.get('service') !== (auth.service ?? 'fake-registry'))
    return { status: 400, body: { details: 'unknown service' } };
  // As Docker Hub: a token is always given, but only with the scopes that the caller may have.
  const scopes = query
    .getAll('scope')
    .flatMap((scopes) => scopes.split(' '))
    .filter((scope) => {
      const [type, repository, actions] = scope.split(':');
      return type === 'repository' && actions === 'pull' && (auth.allows?.(user, repository ?? '') ?? true);
    });
  const seconds = auth.expiresIn ?? 300;
  const token = issuer.issue(user, scopes, seconds);
  return {
    status: 200,
    body: {
      ...(auth.field === 'access_token' ? {} : { token }),
      ...(auth.field === 'token' ? {} : { access_token: token }),
      ...(auth.hideExpiry ? {} : { expires_in: seconds, issued_at: new Date().toISOString() }),
    },
  };
}

function basicUser(authorization: string | undefined, auth: { user?: string; password?: string }): string | undefined {
  const encoded = /^Basic (\S+)$/i.exec(authorization ?? '')?.[1];
  if (!encoded || auth.user === undefined) return undefined;
  return Buffer.from(encoded, 'base64').toString() === `${auth.user}:${auth.password ?? ''}` ? auth.user : undefined;
}
