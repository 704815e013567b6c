import fc from 'fast-check';

/** One generated request. */
export interface Attempt {
  readonly kind: string;
  /** What goes over the wire; CRLFs are part of it. */
  readonly bytes: Buffer;
  readonly head: boolean;
  /** Node's parser must refuse it, and the connection ends. */
  readonly unreadable?: boolean;
}

/** What is cached and may be asked for. */
export interface Known {
  /** `/v2/<host>/<repository>` */
  readonly base: string;
  readonly digest: string;
  readonly size: number;
  /** Of the tag `v1`. */
  readonly manifest: Buffer;
}

const hex = '0'.repeat(64);

/** No upstream has one of these names, and none may be looked for. */
const HOSTS = ['registry.test', 'localhost:1', '127.0.0.1:1', '[::1]:1', '169.254.169.254', '2130706433', '0x7f.1:80'];
const WORDS = [
  ...[
    'v2',
    'manifests',
    'blobs',
    'tags',
    'list',
    'referrers',
    '_catalog',
    'uploads',
    'a',
    'A',
    'latest',
    '..',
    '.',
    '',
  ],
  ...['%2e%2e', '%2F', '%00', '%3A', '%25', '%', '%C3%A9', 'a%0d%0aX:1', '\\', ';', '~', 'a b', '\u00e9', '*'],
  ...[`sha256:${hex}`, `sha256:${hex}0`, `SHA256:${hex}`, `sha512:${hex}`, 'sha256:', `md5:${hex}`],
];
const PARAMETERS = [
  ...HOSTS.map((host) => `ns=${encodeURIComponent(host)}`),
  ...['ns=', 'ns=a&ns=b', 'ns=user@host', 'ns=https://a.test', 'ns=%00', 'ns=%', 'n=1', 'n=-1', 'n=x', 'n=0', 'n=1e9'],
  ...['n=99999999999999999999', 'last=%00', 'last=%ff', `last=${'x'.repeat(600)}`, 'artifactType=a/b', '&&', '=', '?'],
];

const TYPES = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.docker.distribution.manifest.v1+prettyjws',
];

const ascii = (maxLength: number) =>
  fc.string({ unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)), maxLength });

const target = fc
  .tuple(
    fc.array(fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...WORDS) }, fc.constantFrom(...HOSTS), ascii(20)), {
      maxLength: 9,
    }),
    fc.array(fc.oneof(fc.constantFrom(...PARAMETERS), ascii(20)), { maxLength: 4 }),
    fc.constantFrom('/v2/', '/v2/', '/v2/', '/', '//v2/', 'http://registry.test/v2/', '/V2/'),
  )
  // A space would end the target, and what follows is no version of HTTP.
  .map(([path, query, start]) => `${start}${path.join('/')}${query.length > 0 ? `?${query.join('&')}` : ''}`)
  .map((text) => text.replaceAll(' ', '%20').replaceAll(/[^\x21-\x7e]/g, '%'));

const range = fc.oneof(
  fc.tuple(fc.nat(9000), fc.nat(9000)).map(([a, b]) => `bytes=${a}-${b}`),
  fc.nat(9000).map((a) => `bytes=${a}-`),
  fc.nat(9000).map((a) => `bytes=-${a}`),
  fc.array(fc.tuple(fc.nat(9000), fc.nat(9000)), { maxLength: 5 }).map((all) => `bytes=${all.map((r) => r.join('-'))}`),
  fc.constant(`bytes=${Array.from({ length: 1024 }, (_, n) => `${n}-${n + 1}`).join(',')}`),
  fc.constantFrom(
    'bytes=',
    'bytes=-',
    'bytes=--1',
    'bytes=1-99999999999999999999',
    'items=0-1',
    'bytes 0-1',
    'BYTES=0-1',
  ),
  ascii(30).map((text) => `bytes=${text}`),
);

const header = fc.oneof(
  range.map((value) => `Range: ${value}`),
  ascii(60).map((value) => `Accept: ${value}`),
  fc.constantFrom('*', '""', 'W/""', '"', ',', `"sha256:${hex}"`, 'W/').map((value) => `If-None-Match: ${value}`),
  ascii(60).map((value) => `If-None-Match: ${value}`),
  ascii(20).map((value) => `If-Range: ${value}`),
  fc.oneof(fc.constantFrom(...HOSTS), ascii(20)).map((value) => `X-Registry: ${value}`),
  ascii(40).map((value) => `X-Forwarded-Prefix: /${value}`),
  ascii(40).map((value) => `Authorization: Bearer ${value}`),
  ascii(30).map((value) => `Via: 1.1 ${value.replaceAll(',', '')}`),
  ascii(30).map((value) => `Accept-Encoding: ${value}`),
  fc.constantFrom('Connection: keep-alive', 'Connection: close', 'Upgrade: h2c', 'TE: trailers', 'X-Registry:'),
);

const message = (method: string, path: string, headers: readonly string[], body = '') =>
  Buffer.from([`${method} ${path} HTTP/1.1`, 'Host: x', ...headers, '', body].join('\r\n'), 'latin1');

/** Well-formed HTTP about anything. */
const anything = fc
  .tuple(
    fc.constantFrom('GET', 'GET', 'GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'),
    target,
    fc.array(header, { maxLength: 5 }),
  )
  .map(([method, path, headers]) => ({
    kind: 'anything',
    bytes: message(method, path, headers),
    head: method === 'HEAD',
  }));

/** Bodies where none is wanted, framed as they should be. */
const bodies = fc
  .tuple(fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE'), target, fc.string({ maxLength: 3000 }), fc.boolean())
  .map(([method, path, text, chunked]) => {
    // What looks like a request inside must stay inside.
    const body = `GET /v2/smuggled HTTP/1.1\r\nHost: x\r\n\r\n${Buffer.from(text).toString('latin1')}`;
    const framed = chunked ? `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n` : body;
    const framing = chunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.length}`;
    return { kind: 'bodies', bytes: message(method, path, [framing], framed), head: false };
  });

/** Long in every place. */
const long = fc
  .tuple(
    fc.constantFrom('name', 'tag', 'query', 'header', 'headers'),
    fc.integer({ min: 1000, max: 64_000 }),
    fc.constantFrom('a', 'a/', '%3A', '-', '&x=1', '/', '1-2,', ' '),
  )
  .map(([where, length, unit]) => {
    const filler = unit
      .repeat(Math.ceil(length / unit.length))
      .slice(0, length)
      .replaceAll(' ', where.startsWith('h') ? ' ' : '+');
    const [path, headers] = {
      name: [`/v2/registry.test/${filler}/manifests/v1`, []],
      tag: [`/v2/a/manifests/${filler}`, []],
      query: [`/v2/a/tags/list?${filler}`, []],
      header: ['/v2/', [`Range: bytes=${filler}`]],
      headers: ['/v2/', Array.from({ length: length >> 6 }, (_, n) => `X-${n}: ${unit.repeat(60).slice(0, 50)}`)],
    }[where] as [string, string[]];
    return { kind: 'long', bytes: message('GET', path, headers), head: false };
  });

/** What Node's parser must take for no HTTP, since the next server might read it otherwise. */
const unreadable = fc
  .tuple(
    fc.constantFrom('GET', 'POST'),
    fc.constantFrom(
      'Content-Length: 5\r\nTransfer-Encoding: chunked',
      'Transfer-Encoding: chunked\r\nContent-Length: 5',
      'Content-Length: 5\r\nContent-Length: 6',
      'Content-Length: 5\r\nContent-Length: 5',
      'Content-Length: 5, 6',
      'Content-Length: -1',
      'Content-Length: 0x5',
      'Content-Length: 5 5',
      'Content-Length: 99999999999999999999999',
      'Transfer-Encoding: chunked, identity',
      'Transfer-Encoding: xchunked',
      'X: a\0b',
      'X\0: a',
      'X : a',
      ' X: a',
      ': a',
      'X',
      'X: a\rb',
      'X: \x07',
    ),
    ascii(40),
  )
  .map(([method, lines, text]) => ({
    kind: 'unreadable',
    bytes: message(method, '/v2/', [lines], `0\r\n\r\n${text}`),
    head: false,
    unreadable: true,
  }));

/** A request for what is cached, with any range; its answer is known. */
const warm = (known: Known) =>
  fc
    .tuple(fc.constantFrom('GET', 'GET', 'HEAD'), range, fc.array(header, { maxLength: 2 }))
    .map(([method, of, more]) => ({
      kind: 'warm',
      bytes: message(method, `${known.base}/blobs/${known.digest}`, [
        `Range: ${of}`,
        ...more.filter((line) => /^Accept|^Auth|^Via/.test(line)),
      ]),
      head: method === 'HEAD',
    }));

/** A manifest that is cached, accepted in any way or not at all: what comes is always the same. */
const accepted = (known: Known) =>
  fc
    .tuple(
      fc.constantFrom('GET', 'GET', 'HEAD'),
      fc.array(
        fc.oneof(
          ascii(60),
          fc.array(fc.constantFrom('*/*', 'application/*', 'a/b', 'text/html', 'application/json', ...TYPES), {
            maxLength: 8,
          }),
          fc
            .tuple(fc.constantFrom(...TYPES), fc.double({ min: 0, max: 1, noNaN: true }))
            .map(([of, q]) => `${of};q=${q}`),
        ),
        { maxLength: 6 },
      ),
      fc.array(header, { maxLength: 2 }),
    )
    .map(([method, accept, more]) => ({
      kind: 'accepted',
      bytes: message(method, `${known.base}/manifests/v1`, [
        ...accept.map((each) => `Accept: ${each}`),
        ...more.filter((line) => /^(Range|Accept|Auth|Via)/.test(line)),
      ]),
      head: method === 'HEAD',
    }));

/** Bytes that once were a request. */
const broken = (known: Known) =>
  fc
    .tuple(
      fc.constantFrom(`${known.base}/blobs/${known.digest}`, '/v2/', '/v2/a/tags/list?n=1&last=a'),
      fc.array(fc.tuple(fc.double({ min: 0, max: 0.999, noNaN: true }), fc.nat(255)), { minLength: 1, maxLength: 4 }),
    )
    .map(([path, changes]) => {
      const bytes = message('GET', path, ['Accept: */*']);
      // Past the name of the repository, so that no other one of the upstream is meant.
      const skip = path.startsWith(known.base) ? `GET ${known.base}/blobs/`.length : 0;
      for (const [place, byte] of changes) bytes[skip + Math.floor(place * (bytes.length - 4 - skip))] = byte;
      return { kind: 'broken', bytes, head: false };
    });

export function attempts(known: Known): fc.Arbitrary<Attempt> {
  return fc.oneof(
    { weight: 40, arbitrary: anything },
    { weight: 10, arbitrary: bodies },
    { weight: 3, arbitrary: long },
    { weight: 15, arbitrary: unreadable },
    { weight: 15, arbitrary: warm(known) },
    { weight: 5, arbitrary: accepted(known) },
    { weight: 12, arbitrary: broken(known) },
  );
}
