import { BlockList, isIP, type LookupFunction, type Socket } from 'node:net';
import { buildConnector } from 'undici';

/** Not public: IANA IPv4 special-purpose registry. 169.254.169.254 and 100.100.100.200 (metadata services) lie in these. */
const RESERVED_V4 = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
] as const;
/** 168.63.129.16 is a public number, but inside Azure it is the host's own service. */
const METADATA_V4 = ['168.63.129.16'];
/** Inside 2000::/3 but not public: documentation, and tunnels that carry an IPv4 address (Teredo, 6to4). */
const RESERVED_V6 = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const;

const reserved = new BlockList();
const publicV6 = new BlockList();
publicV6.addSubnet('2000::', 3, 'ipv6');
// A DNS64 resolver gives every IPv4 host an address in here; what counts is the address inside.
publicV6.addSubnet('64:ff9b::', 96, 'ipv6');
for (const [net, bits] of RESERVED_V4) {
  reserved.addSubnet(net, bits, 'ipv4');
  reserved.addSubnet(`64:ff9b::${net}`, 96 + bits, 'ipv6');
}
for (const [net, bits] of RESERVED_V6) reserved.addSubnet(net, bits, 'ipv6');
for (const address of METADATA_V4) {
  reserved.addAddress(address, 'ipv4');
  reserved.addAddress(`64:ff9b::${address}`, 'ipv6');
}

/** Whether the IP address (no brackets) is one of the public internet: not private, loopback, link-local, metadata, ... */
export function isPublicAddress(address: string): boolean {
  const plain = address.split('%', 1)[0] ?? '';
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(plain)?.[1];
  if (mapped) return isPublicAddress(mapped);
  const family = isIP(plain);
  if (family === 4) return !reserved.check(plain, 'ipv4');
  return family === 6 && publicV6.check(plain, 'ipv6') && !reserved.check(plain, 'ipv6');
}

const LOCAL_NAME = /(?:^|\.)(?:localhost|local|internal|localdomain|home\.arpa)$/;

/** Whether a host name (no port, brackets allowed) may lead to a public address, as far as can be told without asking DNS. */
export function mayBePublic(hostname: string): boolean {
  const name = hostname.replace(/^\[|\]$/g, '');
  if (isIP(name)) return isPublicAddress(name);
  return !LOCAL_NAME.test(name.toLowerCase().replace(/\.$/, ''));
}

export const ADDRESS_REFUSED = 'ADDRESS_REFUSED';

export function refusal(hostname: string, address?: string): NodeJS.ErrnoException {
  const error: NodeJS.ErrnoException = new Error(
    `${hostname}${address && address !== hostname ? ` (${address})` : ''} is not public and not configured under registries`,
  );
  error.code = ADDRESS_REFUSED;
  return error;
}

type Connector = buildConnector.connector;

/**
 * Connects to public addresses only. Names are judged by what they resolve to at this very connect, and the socket by the
 * address that it really reached, so that DNS cannot answer differently in between.
 */
export function publicOnly(options: buildConnector.BuildOptions, lookup: LookupFunction): Connector {
  const connect = buildConnector({ ...options, lookup: publicLookup(lookup) } as buildConnector.BuildOptions);
  return (target, callback) => {
    if (!mayBePublic(target.hostname)) return callback(refusal(target.hostname), null);
    connect(target, (...[error, socket]) => {
      if (error) return callback(error, null);
      const address = (socket as Socket).remoteAddress ?? '';
      if (isPublicAddress(address)) return callback(null, socket as Socket);
      (socket as Socket).destroy();
      callback(refusal(target.hostname, address), null);
    });
  };
}

function publicLookup(lookup: LookupFunction): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, found) => {
      if (error) return callback(error, '', 0);
      const all = Array.isArray(found) ? found : [];
      const [first, ...rest] = all.filter(({ address }) => isPublicAddress(address));
      if (!first) return callback(refusal(hostname, all[0]?.address), '', 0);
      if (options.all) callback(null, [first, ...rest]);
      else callback(null, first.address, first.family);
    });
  };
}
