import fc from 'fast-check';
import { Failure } from './failure.js';
import {
  canonicalHost,
  formatReference,
  formatRepository,
  isRepositoryPath,
  isTag,
  parseReference,
  repositoryOf,
} from './reference.js';

const digest = `sha256:${'a'.repeat(64)}` as const;
const component = fc.stringMatching(/^[a-z0-9]{1,8}((\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}$/);
const path = fc.array(component, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('/'));
const host = fc.oneof(
  fc.domain(),
  fc.ipV4().map(String),
  fc.ipV6().map((ip) => `[${ip}]`),
  fc.constantFrom('docker.io', 'INDEX.docker.io', 'localhost', 'Quay.IO:443'),
);
const tag = fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/);

describe('canonicalHost', () => {
  it.each([
    ['A33', 'docker.io', 'docker.io'],
    ['A33', 'index.docker.io', 'docker.io'],
    ['A33', 'registry-1.docker.io', 'docker.io'],
    ['A33', 'Index.Docker.IO:443', 'docker.io'],
    ['A33', 'quay.io:443', 'quay.io'],
    ['A33', 'QUAY.io', 'quay.io'],
    ['A33', 'docker.io:5000', 'docker.io:5000'],
    ['A32', '127.0.0.1:5004', '127.0.0.1:5004'],
    ['port 80 is not the default', 'quay.io:80', 'quay.io:80'],
    ['one label', 'registry', 'registry'],
    ['C28 grammar alone', '169.254.169.254', '169.254.169.254'],
    ['C28 grammar alone', 'localhost:6379', 'localhost:6379'],
    ['C28 grammar alone', '[::1]', '[::1]'],
    ['IPv6, short form', '[0:0:0:0:0:0:0:1]:5000', '[::1]:5000'],
    ['IPv6, mapped', '[::FFFF:127.0.0.1]', '[::ffff:7f00:1]'],
    ['IPv6, default port', '[2001:DB8::1]:443', '[2001:db8::1]'],
    ['digits in a label', '0.docker.0a', '0.docker.0a'],
    ['punycode', 'xn--bcher-kva.example', 'xn--bcher-kva.example'],
  ])('%s: %s is %s', (_, text, canonical) => expect(canonicalHost(text)).toBe(canonical));

  it.each([
    'http://quay.io',
    'https://quay.io',
    'quay.io/path',
    'quay.io/',
    'user@quay.io',
    'user:pw@quay.io',
    'quay.io#x',
    'quay.io?x',
    'quay.io ',
    ' quay.io',
    'quay .io',
    'quay.io\n',
    'quay.io\0',
    'quay.io\\x',
    'quay.io%2f',
    'bücher.example',
    '',
    '.',
    '..',
    '.quay.io',
    'quay.io.',
    'quay..io',
    '-quay.io',
    'quay-.io',
    'under_score.io',
    'quay.io:',
    'quay.io:0',
    'quay.io:080',
    'quay.io:65536',
    'quay.io:99999999',
    'quay.io:http',
    'quay.io:80:80',
    '::1',
    '[::1',
    '::1]',
    '[]',
    '[fe80::1%eth0]',
    '[127.0.0.1]',
    '[::1]x',
    `${'a'.repeat(64)}.io`,
    `${'a.'.repeat(130)}io`,
  ])('A36 refuses %j', (text) => expect(canonicalHost(text)).toBeUndefined());

  it.each([
    '2130706433',
    '2130706433:80',
    '0x7f.1',
    '0x7f000001',
    '127.1',
    '127.0.1',
    '0177.0.0.1',
    '127.0.0.01',
    '127.0.0.256',
    '127.0.0.0x1',
    'foo.1',
    'foo.0x',
    '1.2.3.4.5',
  ])('C28 refuses %s, which URL parsers read as another address or not at all', (text) =>
    expect(canonicalHost(text)).toBeUndefined(),
  );

  it('is idempotent, and a URL reads the host as it is written', () => {
    fc.assert(
      fc.property(fc.oneof(host, fc.webAuthority(), fc.string()), (text) => {
        const canonical = canonicalHost(text);
        if (canonical === undefined) return;
        expect(canonicalHost(canonical)).toBe(canonical);
        expect(new URL(`https://${canonical}/`).host).toBe(canonical);
      }),
    );
  });
});

describe('repositories', () => {
  it.each(['a', 'a/b', 'a.b/c_d', 'a__b', 'a---b', 'a/b/c/d/e/f/g/h', '0/1', 'manifests', 'x/tags/list'])(
    'A23 accepts %s',
    (text) => expect(isRepositoryPath(text)).toBe(true),
  );

  it.each([
    '',
    'A/b',
    'a..b',
    'a___b',
    'a_-b',
    'a.-b',
    '-a',
    'a-',
    '_a',
    'a_',
    '.a',
    'a.',
    'a//b',
    'a/',
    '/a',
    'a b',
    'a:b',
    'a/B',
    'ä',
    'a\n',
  ])('A23 refuses %j', (text) => expect(isRepositoryPath(text)).toBe(false));

  it.each([
    ['A34', 'docker.io', 'alpine', 'docker.io/library/alpine'],
    ['A34', 'index.docker.io', 'library/alpine', 'docker.io/library/alpine'],
    ['A34 never for others', 'quay.io', 'alpine', 'quay.io/alpine'],
    ['A34 never for others', 'docker.io:5000', 'alpine', 'docker.io:5000/alpine'],
    ['A33', 'Registry-1.docker.io:443', 'a/b', 'docker.io/a/b'],
  ])('%s: %s with %s is %s', (_, upstream, name, full) =>
    expect(formatRepository(repositoryOf(upstream, name))).toBe(full),
  );

  it('A25 allows 255 characters of host, slash and name, and not one more', () => {
    const longest = 'a'.repeat(255 - 'quay.io/'.length);
    expect(formatRepository(repositoryOf('quay.io', longest))).toHaveLength(255);
    const invalid = expect.objectContaining({ reason: 'NAME_INVALID', status: 400 });
    expect(() => repositoryOf('quay.io', `${longest}a`)).toThrow(invalid);
    expect(() => repositoryOf('docker.io', 'a'.repeat(255 - 'docker.io/library/'.length + 1))).toThrow(invalid);
    expect(() => repositoryOf('not a host', 'a')).toThrow(invalid);
    expect(() => repositoryOf('quay.io', 'A')).toThrow(invalid);
  });
});

describe('isTag', () => {
  it.each(['latest', 'v1.2.3', '_x', 'A', 'a..b', 'a'.repeat(128), `sha256-${'a'.repeat(64)}.sig`])(
    'A26 accepts %s',
    (text) => expect(isTag(text)).toBe(true),
  );

  it.each(['', '.a', '-a', 'a'.repeat(129), 'a b', 'a:b', 'a/b', 'ä', 'a\n'])('A26 refuses %j', (text) =>
    expect(isTag(text)).toBe(false),
  );
});

describe('parseReference', () => {
  it.each([
    ['alpine', 'docker.io/library/alpine:latest'],
    ['alpine:3.20', 'docker.io/library/alpine:3.20'],
    ['team/app', 'docker.io/team/app:latest'],
    ['quay.io/a/b:v1', 'quay.io/a/b:v1'],
    ['localhost/a', 'localhost/a:latest'],
    ['localhost:5000/a:v1', 'localhost:5000/a:v1'],
    ['host:5000/a', 'host:5000/a:latest'],
    ['[::1]:5000/a', '[::1]:5000/a:latest'],
    [`alpine@${digest}`, `docker.io/library/alpine@${digest}`],
    [`alpine:3@${digest}`, `docker.io/library/alpine:3@${digest}`],
    [`127.0.0.1:5000/a:b@${digest}`, `127.0.0.1:5000/a:b@${digest}`],
    ['docker.io/alpine', 'docker.io/library/alpine:latest'],
    ['registry.example', 'docker.io/library/registry.example:latest'],
  ])('%s is %s', (text, full) => expect(formatReference(parseReference(text))).toBe(full));

  it('takes another default host', () => {
    expect(formatReference(parseReference('a/b', 'ghcr.io'))).toBe('ghcr.io/a/b:latest');
    expect(formatReference(parseReference('a', 'ghcr.io'))).toBe('ghcr.io/a:latest');
  });

  it.each([
    ['', 'NAME_INVALID'],
    ['UPPER', 'NAME_INVALID'],
    ['https://quay.io/a', 'NAME_INVALID'],
    ['quay.io/', 'NAME_INVALID'],
    ['/a', 'NAME_INVALID'],
    ['0x7f.1/a', 'NAME_INVALID'],
    ['a:', 'MANIFEST_INVALID'],
    ['a:.x', 'MANIFEST_INVALID'],
    ['a@', 'DIGEST_INVALID'],
    ['a@sha256:abc', 'DIGEST_INVALID'],
    [`a@${digest}@${digest}`, 'DIGEST_INVALID'],
  ])('%j is %s', (text, reason) => expect(() => parseReference(text)).toThrow(expect.objectContaining({ reason })));

  it('reads back what it writes', () => {
    const names = fc.tuple(host, path).filter(([h, p]) => canonicalHost(h) !== undefined && h.length + p.length < 240);
    fc.assert(
      fc.property(names, fc.option(tag), fc.boolean(), ([h, p], t, pinned) => {
        const repository = repositoryOf(h, p);
        const reference = {
          repository,
          ...(t === null ? (pinned ? {} : { tag: 'latest' }) : { tag: t }),
          ...(pinned ? { digest } : {}),
        };
        // A host of one label without port is told from a path only by configuration.
        fc.pre(/[.:]|^localhost$/.test(repository.upstream));
        expect(parseReference(formatReference(reference))).toEqual(reference);
      }),
    );
  });

  it('throws nothing but failures', () => {
    const noise = fc.array(
      fc.constantFrom('a', 'B', '.', ':', '/', '@', '_', '-', '[', ']', 'sha256:', digest, ' ', 'é'),
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.string({ unit: 'binary' }),
          noise.map((parts) => parts.join('')),
        ),
        (text) => {
          try {
            parseReference(text);
          } catch (error) {
            expect(error).toBeInstanceOf(Failure);
            expect((error as Failure).status).toBe(400);
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  it.each(['a', '-', '_', 'a-', 'a_', 'a.', 'a/', '[', ':', '1.', '0x'])('ends on a long run of %j', (unit) => {
    const long = `a${unit.repeat(100_000)}!`;
    expect(canonicalHost(long)).toBeUndefined();
    expect(isRepositoryPath(long)).toBe(false);
    expect(isTag(long)).toBe(false);
    expect(() => parseReference(long)).toThrow(Failure);
  });
});
