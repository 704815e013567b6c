import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { BlockList, isIP } from 'node:net';
import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { Refusal } from './problem.js';

/** What a decision is made of. */
export interface Caller {
  readonly method: string;
  /** Address of the peer of the connection. */
  readonly address: string;
  readonly headers: IncomingHttpHeaders;
}

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8);
loopback.addAddress('::1', 'ipv6');

/**
 * Who may do what on the admin port (docs/operating.md):
 *
 * | caller                      | reads                    | changes                                        |
 * |-----------------------------|--------------------------|------------------------------------------------|
 * | any, with the right token   | yes                      | yes                                            |
 * | loopback, no token is set   | by a local name only     | by a local name, not from another site's page  |
 * | loopback, a token is set    | by a local name only     | 401                                            |
 * | elsewhere, no token is set  | yes                      | 403                                            |
 * | elsewhere, a token is set   | yes                      | 401                                            |
 *
 * A local name is `localhost` or an address: a browser that was lured by DNS rebinding says another one. What comes
 * through a proxy is not local, whatever address the proxy has. Throws `Refusal`.
 */
export function checkAccess({ method, address, headers }: Caller, token: string | undefined): void {
  const given = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1];
  if (token !== undefined && given !== undefined && sameSecret(given, token)) return;
  const local = isLoopback(address) && headers.forwarded === undefined && headers['x-forwarded-for'] === undefined;
  if (local && !isLocalName(headers.host)) {
    throw new Refusal(403, 'call this port as localhost or by its address');
  }
  if (method === 'GET' || method === 'HEAD') return;
  if (token !== undefined) {
    throw new Refusal(401, given === undefined ? 'this needs the admin token' : 'wrong admin token', {
      'www-authenticate': 'Bearer realm="ociregistry admin"',
    });
  }
  if (!local) throw new Refusal(403, 'only from this machine, as no admin.token is configured');
  if (isCrossSite(headers)) throw new Refusal(403, 'not from the page of another site');
}

function isLoopback(address: string): boolean {
  const plain = address.replace(/^::ffff:(?=\d+\.)/, '');
  return loopback.check(plain, isIP(plain) === 6 ? 'ipv6' : 'ipv4');
}

function isLocalName(host: string | undefined): boolean {
  if (host === undefined) return true;
  const name = host.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
  return name.toLowerCase() === 'localhost' || isIP(name) !== 0;
}

/** Browsers send `Origin` with every request that changes something; programs do not. */
function isCrossSite(headers: IncomingHttpHeaders): boolean {
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return true;
  const { origin, host } = headers;
  if (origin === undefined) return false;
  return !URL.canParse(origin) || new URL(origin).host !== host?.toLowerCase();
}

/** In a time that tells nothing of where they differ. */
export function sameSecret(a: string, b: string): boolean {
  const hash = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(hash(a), hash(b));
}

@Injectable()
export class AccessGuard implements CanActivate {
  constructor(
    private readonly token: string | undefined,
    /** Webhooks that have a secret of their own; their controller asks for it. */
    private readonly hooks: ReadonlySet<string> = new Set(),
  ) {}

  canActivate(context: ExecutionContext): boolean {
    if (context.getType() !== 'http') return true;
    const { raw: req } = context.switchToHttp().getRequest<{ raw: IncomingMessage }>();
    if (!req.url?.startsWith('/api/')) return true;
    const hook = /^\/api\/v1\/hooks\/([a-z]+)(?:\?|$)/.exec(req.url)?.[1];
    if (hook !== undefined && this.hooks.has(hook)) return true;
    checkAccess(
      { method: req.method ?? '', address: req.socket.remoteAddress ?? '', headers: req.headers },
      this.token,
    );
    return true;
  }
}
