import type { IncomingMessage } from 'node:http';
import {
  Failure,
  formatBearer,
  type Grant,
  parseGrant,
  type Repository,
  type Route,
  scopeOf,
  tokenPathFor,
} from '#oci';
import { Admission, type Caller, type ClientRules, Unauthorized } from '#registry';
import { sendJson } from '../json-response.js';
import type { PublicAddress } from '../public-address.js';
import type { Exchange } from '../pull-api.js';
import type { components } from '../registry-api.js';
import type { Callers } from './callers.js';
import { readForm } from './form.js';
import type { Tokens } from './tokens.js';

interface GateParts {
  readonly callers: Callers;
  readonly tokens: Tokens;
  readonly rules: ClientRules;
  readonly address: PublicAddress;
  /** Name of this installation in challenges. */
  readonly service: string;
  readonly pathPrefix: string;
  /** Ends what checks passwords and looks at files. */
  close(): void;
}

/** Asks clients who they are (`clientAuth`): everything that a request passes before it is answered, and the tokens it shows. */
export class Gate {
  private readonly admission: Admission;

  constructor(private readonly parts: GateParts) {
    this.admission = new Admission(parts.rules);
  }

  /** A promise only where something must be checked; rejects with Failure TOO_MANY_LOGINS. */
  identify(req: IncomingMessage): Caller | Promise<Caller> {
    return this.parts.callers.identify(req.headers.authorization, this.parts.address.clientOf(req));
  }

  /** Throws the Failure of a request that is refused; the answer to it carries a challenge where it needs one. */
  check(exchange: Exchange, route: Route, caller: Caller, locate: () => Repository): void {
    this.tell(exchange, caller);
    try {
      this.admission.admit(this.withoutPrefix(caller), route, locate);
    } catch (error) {
      if (error instanceof Unauthorized) this.challenge(exchange, route, error);
      throw error;
    }
  }

  /** Expressions of what the caller may see in `_catalog`; undefined: everything. */
  visibleTo(caller: Caller): readonly string[] | undefined {
    return this.parts.rules.visibleTo(caller.kind === 'known' ? caller.user : undefined);
  }

  /**
   * Answers a request for a token (Docker's "Token Authentication Specification"; a POST as its OAuth2 variant): name and password
   * by Basic, in the query or in the form; without a name a token for what needs none. Rejects with UNAUTHORIZED.
   */
  async giveToken(exchange: Exchange): Promise<void> {
    const { req, res } = exchange;
    const posted = req.method === 'POST';
    const query = new URLSearchParams(req.url?.split('?').slice(1).join('?') ?? '');
    const fields = posted ? await readForm(req, res) : query;
    const kind = fields.get('grant_type');
    if (posted && kind !== 'password')
      throw new Failure('TOKEN_REQUEST_INVALID', 'of the grant types only password is supported');
    const caller = await this.loggedIn(req, fields);
    this.tell(exchange, caller);
    if (caller.kind === 'unproven' || (caller.kind === 'nobody' && !this.parts.rules.open)) {
      res.setHeader('www-authenticate', `Basic realm="${this.parts.service}"`);
      throw new Unauthorized(caller.kind === 'unproven' ? caller.message : undefined);
    }
    const user = caller.kind === 'known' ? caller.user : undefined;
    const { tokens } = this.parts;
    const grant = parseGrant(fields.getAll('scope'));
    const { token, issuedAt } = await tokens.issue({ ...(user === undefined ? {} : { user }), grant });
    const body: components['schemas']['Token'] = {
      token,
      access_token: token,
      expires_in: Math.floor(tokens.lifetime / 1000),
      issued_at: new Date(issuedAt).toISOString(),
    };
    sendJson(exchange, 200, JSON.stringify(body), ['cache-control', 'no-store']);
  }

  close(): void {
    this.parts.close();
  }

  private tell({ account }: Exchange, caller: Caller): void {
    if (caller.kind === 'known' && caller.user !== undefined) account.user = caller.user;
    account.unasked = caller.kind === 'nobody';
  }

  private async loggedIn(req: IncomingMessage, fields: URLSearchParams): Promise<Caller> {
    const { callers } = this.parts;
    const address = this.parts.address.clientOf(req);
    const { authorization } = req.headers;
    const [user, password] = [fields.get('username'), fields.get('password')];
    // A token is no way to a longer one.
    if (authorization !== undefined && !/^bearer /i.test(authorization))
      return callers.identify(authorization, address);
    if (user !== null && password !== null) return callers.login(user, password, address);
    return callers.identify(undefined, address);
  }

  private challenge({ req, res }: Exchange, route: Route, { error }: Unauthorized): void {
    const { address, service, pathPrefix } = this.parts;
    const outer = address.prefixOf(req);
    const path = tokenPathFor(req.url ?? '', pathPrefix);
    const realm = address.originOf(req) + (path.startsWith(`${outer}/`) ? path : outer + path);
    const scope = scopeOf(route);
    const bearer = {
      realm,
      service,
      ...(scope === undefined ? {} : { scope }),
      ...(error === undefined ? {} : { error }),
    };
    res.setHeader('www-authenticate', formatBearer(bearer));
  }

  /** `/v2/PREFIX/name` is `PREFIX/name` to clients that know nothing of the prefix. */
  private withoutPrefix(caller: Caller): Caller {
    const prefix = `${this.parts.pathPrefix.replaceAll(/^\/+|\/+$/g, '')}/`;
    if (prefix === '/' || caller.kind !== 'known' || !caller.grant) return caller;
    const names = [...caller.grant.repositories];
    const below = names.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
    const grant: Grant = { ...caller.grant, repositories: new Set([...names, ...below]) };
    return { ...caller, grant };
  }
}
