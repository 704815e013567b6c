import { createHash, createSecretKey, type KeyObject } from 'node:crypto';
import { errors, type JWTPayload, jwtVerify, SignJWT } from 'jose';
import { Failure, type Grant, isObject } from '#oci';

/** Whom a token is given to, and for what. */
export interface Bearer {
  /** Undefined: somebody without a name. */
  readonly user?: string;
  readonly grant: Grant;
}

export interface IssuedToken {
  readonly token: string;
  /** Epoch milliseconds, in whole seconds. */
  readonly issuedAt: number;
}

interface Verified extends Bearer {
  /** Epoch milliseconds. */
  readonly expires: number;
}

const ALGORITHM = 'HS256';

/**
 * Signed tokens (JWT) as Docker's token specification has them. Every gateway with the same key takes them; nothing of them is
 * stored. A token falls with the password that it was given for.
 */
export class Tokens {
  private readonly key: KeyObject;

  constructor(
    key: string,
    /** Issuer and audience. */
    private readonly service: string,
    /** Milliseconds. */
    readonly lifetime: number,
    /** The bcrypt hash of a user; undefined when there is none of this name. */
    private readonly hashOf: (user: string) => string | undefined,
  ) {
    this.key = createSecretKey(createHash('sha256').update(key).digest());
  }

  async issue({ user, grant }: Bearer): Promise<IssuedToken> {
    const issued = Math.floor(Date.now() / 1000);
    const access = [...grant.repositories].map((name) => ({ type: 'repository', name, actions: ['pull'] }));
    if (grant.catalog) access.push({ type: 'registry', name: 'catalog', actions: ['*'] });
    const hash = user === undefined ? undefined : this.hashOf(user);
    const token = await new SignJWT({ access, ...(hash === undefined ? {} : { pwd: markOf(hash) }) })
      .setProtectedHeader({ alg: ALGORITHM, typ: 'JWT' })
      .setIssuer(this.service)
      .setAudience(this.service)
      .setSubject(user ?? '')
      .setIssuedAt(issued)
      .setExpirationTime(issued + Math.floor(this.lifetime / 1000))
      .sign(this.key);
    return { token, issuedAt: issued * 1000 };
  }

  /** Undefined for what is no token of ours, or no longer one. */
  async verify(token: string): Promise<Verified | undefined> {
    let payload: JWTPayload;
    try {
      const options = { algorithms: [ALGORITHM], issuer: this.service, audience: this.service };
      ({ payload } = await jwtVerify(token, this.key, { ...options, requiredClaims: ['sub', 'exp'] }));
    } catch (error) {
      if (error instanceof errors.JOSEError) return undefined;
      throw new Failure('INTERNAL', undefined, { cause: error });
    }
    const { sub: user = '', exp = 0, access, pwd } = payload;
    const expires = exp * 1000;
    if (user === '') return { grant: grantOf(access), expires };
    const hash = this.hashOf(user);
    return hash !== undefined && pwd === markOf(hash) ? { user, grant: grantOf(access), expires } : undefined;
  }
}

/** Tells one password of a user from the next, and nothing of either. */
function markOf(hash: string): string {
  return createHash('sha256').update(hash).digest('base64url').slice(0, 16);
}

function grantOf(access: unknown): Grant {
  const entries = (Array.isArray(access) ? access : []).filter(isObject);
  const named = (type: string, action: string) =>
    entries
      .filter((entry) => entry.type === type && Array.isArray(entry.actions) && entry.actions.includes(action))
      .map(({ name }) => String(name));
  return { repositories: new Set(named('repository', 'pull')), catalog: named('registry', '*').includes('catalog') };
}
