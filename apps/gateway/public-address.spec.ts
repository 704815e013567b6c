import type { IncomingMessage } from 'node:http';
import { PublicAddress, type PublicAddressOptions } from './public-address.js';

const socket = { remoteAddress: '10.0.0.1', localAddress: '::ffff:10.0.0.9', localPort: 8080 };
const request = (headers: Record<string, string>, more: object = {}) =>
  ({ headers, socket: { ...socket, ...more } }) as unknown as IncomingMessage;
const origin = (options: PublicAddressOptions, ...of: Parameters<typeof request>) =>
  new PublicAddress(options).originOf(request(...of));

describe('A11: the origin by which the client came', () => {
  const plain = { trustProxy: false };
  it.each<[string, PublicAddressOptions, Record<string, string>, object, string]>([
    ['its own word', plain, { host: 'cache.example:8080' }, {}, 'http://cache.example:8080'],
    ['over TLS', plain, { host: 'cache.example' }, { encrypted: true }, 'https://cache.example'],
    ['of HTTP/2', plain, { ':authority': 'cache.example:8443' }, { encrypted: true }, 'https://cache.example:8443'],
    ['an IPv6 address', plain, { host: '[::1]:8080' }, {}, 'http://[::1]:8080'],
    ['none', plain, {}, {}, 'http://10.0.0.9:8080'],
    ['none, IPv6', plain, {}, { localAddress: '::1' }, 'http://[::1]:8080'],
    ['nonsense', plain, { host: 'a"b,c' }, {}, 'http://10.0.0.9:8080'],
    ['publicUrl', { ...plain, publicUrl: 'https://a.b/c/' }, { host: 'x' }, {}, 'https://a.b'],
    [
      'a proxy that nobody trusts',
      plain,
      { host: 'x', 'x-forwarded-proto': 'https', 'x-forwarded-host': 'evil.example' },
      {},
      'http://x',
    ],
    [
      'one that is trusted',
      { trustProxy: ['10.0.0.0/8'] },
      { host: 'x', 'x-forwarded-proto': 'https', 'x-forwarded-host': 'a.b, c.d' },
      {},
      'https://a.b',
    ],
    [
      'with its port',
      { trustProxy: true },
      { host: 'a.b', 'x-forwarded-proto': 'https', 'x-forwarded-port': '8443' },
      {},
      'https://a.b:8443',
    ],
    [
      'with the usual port',
      { trustProxy: true },
      { host: 'a.b', 'x-forwarded-proto': 'https', 'x-forwarded-port': '443' },
      {},
      'https://a.b',
    ],
    ['nonsense of it', { trustProxy: true }, { host: 'a.b', 'x-forwarded-proto': 'x"y' }, {}, 'http://a.b'],
  ])('%s', (_, options, headers, more, expected) => expect(origin(options, headers, more)).toBe(expected));
});

describe('the address of the client', () => {
  const behind = { trustProxy: ['10.0.0.0/8'] };
  it.each<[string, PublicAddressOptions, string | undefined, string]>([
    ['no proxy', behind, undefined, '10.0.0.1'],
    ['one that nobody trusts', { trustProxy: false }, '1.2.3.4', '10.0.0.1'],
    ['one', behind, '1.2.3.4', '1.2.3.4'],
    ['two', behind, '9.9.9.9, 1.2.3.4, 10.0.0.7', '1.2.3.4'],
    ['all are trusted', { trustProxy: true }, '9.9.9.9, 1.2.3.4', '1.2.3.4'],
    ['only proxies', behind, '10.0.0.8', '10.0.0.1'],
    ['nonsense', behind, 'x', '10.0.0.1'],
  ])('%s', (_, options, header, expected) => {
    const headers: Record<string, string> = header === undefined ? {} : { 'x-forwarded-for': header };
    expect(new PublicAddress(options).clientOf(request(headers))).toBe(expected);
  });
});
