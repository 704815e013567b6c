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

/** How clients see this server from beyond the proxies in front of it. */
export class PublicAddress {
  private readonly publicPath: string | undefined;
  private readonly trusts: (address: string) => boolean;

  constructor({ publicUrl, trustProxy }: PublicAddressOptions) {
    const path = publicUrl === undefined ? undefined : new URL(publicUrl).pathname.replace(/\/+$/, '');
    this.publicPath = path;
    this.trusts = typeof trustProxy === 'boolean' ? () => trustProxy : listed(trustProxy);
  }

  /** What a proxy has taken away from the front of the request's path: '' or `/some/path`. */
  prefixOf(req: IncomingMessage): string {
    if (this.publicPath !== undefined) return this.publicPath;
    const header = req.headers['x-forwarded-prefix'];
    if (typeof header !== 'string' || !this.trusts(req.socket.remoteAddress ?? '')) return '';
    const prefix = header.trim().replace(/\/+$/, '');
    return PREFIX.test(prefix) ? prefix : '';
  }
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
