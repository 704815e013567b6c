import type { IncomingMessage } from 'node:http';
import { BlockList, isIP } from 'node:net';

export interface PublicAddressOptions {
  /** Under which clients reach the registry; its path is what a proxy in front takes away. */
  readonly publicUrl?: string;
  /** Whose `X-Forwarded-*` is believed: everyone's, nobody's, or that of these addresses and networks (CIDR). */
  readonly trustProxy: boolean | readonly string[];
}

/** What may stand in front of the path of a Link: segments of unreserved characters. */
const PREFIX = /^(?:\/[A-Za-z0-9._~-]+)+$/;

/** A host with or without a port, of which a URL can be made; nothing in it ends a quoted text. */
const HOST = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?$/;

/** How clients see this server from beyond the proxies in front of it. */
export class PublicAddress {
  private readonly publicPath: string | undefined;
  private readonly publicOrigin: string | undefined;
  private readonly trusts: (address: string) => boolean;
  private readonly trustsAll: boolean;

  constructor({ publicUrl, trustProxy }: PublicAddressOptions) {
    const path = publicUrl === undefined ? undefined : new URL(publicUrl).pathname.replace(/\/+$/, '');
    this.publicPath = path;
    this.publicOrigin = publicUrl === undefined ? undefined : new URL(publicUrl).origin;
    this.trustsAll = trustProxy === true;
    this.trusts = typeof trustProxy === 'boolean' ? () => trustProxy : listed(trustProxy);
  }

  /** What a proxy has taken away from the front of the request's path: '' or `/some/path`. */
  prefixOf(req: IncomingMessage): string {
    if (this.publicPath !== undefined) return this.publicPath;
    const prefix = this.forwarded(req, 'prefix')?.replace(/\/+$/, '') ?? '';
    return PREFIX.test(prefix) ? prefix : '';
  }

  /** Scheme, host and port by which the client asked. What it says of them itself is only told back to it. */
  originOf(req: IncomingMessage): string {
    if (this.publicOrigin !== undefined) return this.publicOrigin;
    const { headers, socket } = req;
    const encrypted = 'encrypted' in socket && socket.encrypted === true;
    const proto = this.forwarded(req, 'proto')?.toLowerCase();
    const scheme = proto === 'http' || proto === 'https' ? proto : encrypted ? 'https' : 'http';
    // HTTP/2 has another name for it.
    const named = [this.forwarded(req, 'host'), headers[':authority'], headers.host];
    const host =
      named.find((name): name is string => typeof name === 'string' && HOST.test(name)) ?? ownAddress(socket);
    const port = this.forwarded(req, 'port');
    const given = port !== undefined && /^\d{1,5}$/.test(port) && !/:\d+$/.test(host) && !isUsual(scheme, port);
    return `${scheme}://${host}${given ? `:${port}` : ''}`;
  }

  /** The address of the client: what the proxies that are believed say, else the other end of the connection. */
  clientOf(req: IncomingMessage): string {
    const peer = req.socket.remoteAddress ?? '';
    const header = req.headers['x-forwarded-for'];
    if (typeof header !== 'string' || !this.trusts(peer)) return peer;
    // Each proxy adds whom it was asked by. Where all are believed, the one in front of us is.
    const named = header.split(',').map((address) => address.trim());
    const client = this.trustsAll ? named.at(-1) : named.findLast((address) => !this.trusts(address));
    return client !== undefined && isIP(client) !== 0 ? client : peer;
  }

  /** What a proxy that is believed says; of several the first one, which is the client's. */
  private forwarded(req: IncomingMessage, what: 'prefix' | 'proto' | 'host' | 'port'): string | undefined {
    const header = req.headers[`x-forwarded-${what}`];
    if (typeof header !== 'string' || !this.trusts(req.socket.remoteAddress ?? '')) return undefined;
    return header.split(',', 1)[0]!.trim();
  }
}

function isUsual(scheme: string, port: string): boolean {
  return port === (scheme === 'https' ? '443' : '80');
}

/** Of who names no host. */
function ownAddress({ localAddress = '127.0.0.1', localPort }: IncomingMessage['socket']): string {
  const plain = localAddress.replace(/^::ffff:(?=\d+\.)/i, '');
  return `${isIP(plain) === 6 ? `[${plain}]` : plain}:${localPort}`;
}

/** Whether an address is one of `entries` or in one of their networks. IPv4 addresses may come as IPv6 ones. */
function listed(entries: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const entry of entries) {
    const [address = '', bits] = entry.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
  return (address) => {
    const plain = address.replace(/^::ffff:(?=\d+\.)/i, '');
    const family = isIP(plain);
    return family !== 0 && list.check(plain, family === 6 ? 'ipv6' : 'ipv4');
  };
}
