import fc from 'fast-check';
import { Failure } from './failure.js';
import { parseRoute } from './route.js';

const digest = `sha256:${'0123456789abcdef'.repeat(4)}`;
const sha512 = `sha512:${'f'.repeat(128)}`;

function refusal(target: string, prefix?: string): string {
  try {
    return `accepted as ${JSON.stringify(parseRoute(target, prefix))}`;
  } catch (error) {
    expect(error).toBeInstanceOf(Failure);
    return (error as Failure).reason;
  }
}

describe('version check', () => {
  it.each([
    ['A1', '/v2/'],
    ['A2', '/v2'],
    ['A7', '/v2/?ns=docker.io'],
    ['A7', '/v2?ns=http://x'],
    ['A7', '/v2/?ns=a&ns=b'],
    ['absolute form, as proxies get it', 'http://mirror.example:8080/v2/'],
  ])('%s %s', (_, target) => expect(parseRoute(target)).toEqual({ kind: 'base' }));
});

describe('names and depth', () => {
  it.each([
    ['A23', 'a'],
    ['A23', 'a/b'],
    ['A23', 'a.b/c_d'],
    ['A23', 'a__b'],
    ['A23', 'a---b'],
    ['A23', 'a/b/c/d/e/f/g/h/i/j'],
    ['A24', 'a/manifests'],
    ['A24', 'manifests'],
    ['A24', 'blobs'],
    ['A24', 'tags'],
    ['A24', 'referrers'],
    ['A24', 'x/tags/list'],
    ['A24', 'a/blobs/manifests'],
    ['A29', 'quay.io/a/b'],
    ['A32', '127.0.0.1:5004/app'],
    ['A32', 'localhost:5000/a/b'],
    ['A33', 'Docker.IO/library/alpine'],
    ['IPv6 host', '[::1]:5000/app'],
  ])('%s reads %s from the right', (_, name) => {
    expect(parseRoute(`/v2/${name}/manifests/latest`)).toEqual({
      kind: 'manifest',
      name,
      reference: 'latest',
      isDigest: false,
    });
    expect(parseRoute(`/v2/${name}/manifests/${digest}`)).toEqual({
      kind: 'manifest',
      name,
      reference: digest,
      isDigest: true,
    });
    expect(parseRoute(`/v2/${name}/manifests/manifests`)).toMatchObject({ name, reference: 'manifests' });
    expect(parseRoute(`/v2/${name}/blobs/${digest}`)).toEqual({ kind: 'blob', name, digest });
    expect(parseRoute(`/v2/${name}/blobs/${sha512}`)).toEqual({ kind: 'blob', name, digest: sha512 });
    expect(parseRoute(`/v2/${name}/referrers/${digest}`)).toEqual({ kind: 'referrers', name, digest });
    expect(parseRoute(`/v2/${name}/tags/list`)).toEqual({ kind: 'tags', name });
  });

  it.each([
    'A/b',
    'a/B',
    'a..b',
    'a___b',
    '-a',
    'a-',
    '_a',
    'a//b',
    'a/',
    '/a',
    'a:b',
    'a:b/c/d:e',
    '0x7f.1:80/a',
    '2130706433:80/a',
    'host:port/a',
    'quay.io:/a',
    'user@quay.io/a',
    'quay.io/A',
    'quay.io/',
    'a;b',
    'a,b',
    '::1/a',
    `a/${'b'.repeat(300)}`,
  ])('A23, A25 refuse %s', (name) => {
    for (const rest of ['manifests/latest', `blobs/${digest}`, 'tags/list', `referrers/${digest}`])
      expect(refusal(`/v2/${name}/${rest}`)).toBe('NAME_INVALID');
  });

  it('A26 tags', () => {
    for (const tag of ['v1.2', '_', 'A', 'a..b', 'a'.repeat(128), `sha256-${'a'.repeat(64)}.sig`])
      expect(parseRoute(`/v2/a/manifests/${tag}`)).toMatchObject({ reference: tag, isDigest: false });
    for (const tag of ['.a', '-a', 'a@b', 'a+b', 'a'.repeat(129)])
      expect(refusal(`/v2/a/manifests/${tag}`)).toBe('MANIFEST_INVALID');
  });

  it.each([
    digest.toUpperCase(),
    digest.slice(0, -1),
    `${digest}0`,
    'sha256:',
    `md5:${'a'.repeat(32)}`,
    `latest@${digest}`,
  ])('A27 refuses %s', (text) => {
    expect(refusal(`/v2/a/manifests/${text}`)).toBe('DIGEST_INVALID');
    expect(refusal(`/v2/a/blobs/${text}`)).toBe('DIGEST_INVALID');
    expect(refusal(`/v2/a/referrers/${text}`)).toBe('DIGEST_INVALID');
  });

  it('A27 a blob is never named by tag', () => expect(refusal('/v2/a/blobs/latest')).toBe('DIGEST_INVALID'));
});

describe('encodings', () => {
  it.each(['%3A', '%3a'])('A28 accepts %s as a colon', (colon) => {
    expect(parseRoute(`/v2/a/blobs/${digest.replace(':', colon)}`)).toEqual({ kind: 'blob', name: 'a', digest });
    expect(parseRoute(`/v2/localhost${colon}5000/a/tags/list`)).toEqual({ kind: 'tags', name: 'localhost:5000/a' });
  });

  it.each([
    '/v2/a%2Fb/manifests/latest',
    '/v2/a%2fb/manifests/latest',
    '/v2/a%00/manifests/latest',
    '/v2/%2e%2e/manifests/latest',
    '/v2/a/manifests/%2e%2e',
    '/v2/a/blobs/sha256%253Aabc',
    '/v2/a%/manifests/latest',
    '/v2/%61/manifests/latest',
    '/v2/a\\b/manifests/latest',
    '/v2/..\\a/manifests/latest',
    '/v2/ä/manifests/latest',
    '/v2/a/manifests/l\u0000',
    '/v2/a b/manifests/latest',
    '/v2/a#b/manifests/latest',
    '/v2/../../etc/passwd',
    '/v2/..%2f..%2fetc',
    '/v2/a/../b/manifests/latest',
    '/v2/./a/manifests/latest',
    '/../v2/',
    '/./v2/',
    '/v2//',
    '//v2/',
    '/v2//a/manifests/latest',
    '/v2/a//manifests/latest',
    '/v2/a/manifests//latest',
    '/v2/a/manifests/..',
    '/v2/unknown/%7e',
  ])('A28 refuses %j with 400', (target) => expect(refusal(target)).toBe('NAME_INVALID'));
});

describe('unknown routes', () => {
  it.each([
    '/',
    '',
    '*',
    '/v1/',
    '/v2x',
    '/V2/',
    '/healthz',
    '/v2/a',
    '/v2/a/b',
    '/v2/a/manifests',
    '/v2/manifests/latest',
    '/v2/a/manifests/',
    '/v2/a/blobs/',
    '/v2/tags/list',
    '/v2/a/tags',
    '/v2/a/tags/all',
    '/v2/a/tags/list/',
    '/v2/_catalog/',
    '/v2/a/_catalog',
    '/v2/a/blobs/uploads/',
    `/v2/a/blobs/uploads/uuid`,
    `/v2/a/other/${digest}`,
  ])('A115 %j', (target) => expect(refusal(target)).toBe('NOT_FOUND'));
});

describe('prefix', () => {
  it.each(['cache', '/cache', 'cache/', '/cache/'])('A31 %s before or after /v2, or left out', (prefix) => {
    const want = { kind: 'manifest', name: 'a/b', reference: 'latest', isDigest: false };
    expect(parseRoute('/cache/v2/a/b/manifests/latest', prefix)).toEqual(want);
    expect(parseRoute('/v2/cache/a/b/manifests/latest', prefix)).toEqual(want);
    expect(parseRoute('/v2/a/b/manifests/latest', prefix)).toEqual(want);
    for (const base of ['/v2', '/v2/', '/cache/v2', '/cache/v2/', '/v2/cache', '/v2/cache/'])
      expect(parseRoute(base, prefix)).toEqual({ kind: 'base' });
    expect(refusal('/cache', prefix)).toBe('NOT_FOUND');
    expect(refusal('/cachex/v2/', prefix)).toBe('NOT_FOUND');
    expect(parseRoute('/v2/cachex/manifests/latest', prefix)).toMatchObject({ name: 'cachex' });
  });

  it('A31 of several segments', () => {
    expect(parseRoute('/v2/a/b/c/tags/list', 'a/b')).toEqual({ kind: 'tags', name: 'c' });
    expect(parseRoute('/a/b/v2/c/tags/list?ns=quay.io', 'a/b')).toEqual({ kind: 'tags', name: 'c', ns: 'quay.io' });
  });

  it('A31 none', () => expect(refusal('/cache/v2/a/manifests/latest')).toBe('NOT_FOUND'));
});

describe('any target', () => {
  const word = fc.constantFrom(
    'v2',
    'manifests',
    'blobs',
    'tags',
    'list',
    'referrers',
    '_catalog',
    'a',
    'quay.io',
    'localhost:1',
    digest,
    'latest',
    '..',
    '',
    '%3A',
    '%2f',
    'Ä',
  );
  const built = fc
    .tuple(
      fc.array(word, { maxLength: 8 }),
      fc.array(fc.constantFrom('ns=a.b', 'n=1', 'n=x', 'last=z', 'ns=', '?', '&', '%'), { maxLength: 3 }),
    )
    .map(([path, query]) => `/v2/${path.join('/')}${query.length > 0 ? `?${query.join('&')}` : ''}`);

  it('throws nothing but client failures', () => {
    fc.assert(
      fc.property(
        fc.oneof(built, fc.string(), fc.string({ unit: 'binary' })),
        fc.option(fc.constantFrom('a', 'cache/x'), { nil: undefined }),
        (target, prefix) => {
          try {
            parseRoute(target, prefix);
          } catch (error) {
            expect(error).toBeInstanceOf(Failure);
            expect([400, 404]).toContain((error as Failure).status);
          }
        },
      ),
      { numRuns: 400 },
    );
  });

  it('reads back what it was made of', () => {
    const segment = fc.stringMatching(/^[a-z0-9]{1,6}([._-][a-z0-9]{1,3})?$/);
    const name = fc
      .array(fc.oneof(segment, fc.constantFrom('manifests', 'blobs', 'tags', 'list', 'referrers', 'v2')), {
        minLength: 1,
        maxLength: 8,
      })
      .map((parts) => parts.join('/'));
    const tag = fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/);
    fc.assert(
      fc.property(name, tag, (n, t) => {
        expect(parseRoute(`/v2/${n}/manifests/${t}`)).toEqual({
          kind: 'manifest',
          name: n,
          reference: t,
          isDigest: false,
        });
        expect(parseRoute(`/v2/${n}/tags/list`)).toEqual({ kind: 'tags', name: n });
      }),
    );
  });

  it.each(['a', 'a-', '/', 'a/', '%', '%3A', '.', '?', '&ns=a', '+'])('ends on a long run of %j', (unit) => {
    for (const target of [
      `/v2/${unit.repeat(60_000)}/manifests/latest`,
      `/v2/a/tags/list?x=${unit.repeat(60_000)}`,
      unit.repeat(60_000),
    ])
      try {
        parseRoute(target);
      } catch (error) {
        expect(error).toBeInstanceOf(Failure);
      }
  });
});
