import fc from 'fast-check';
import { etagMatches, type Link, nextPage, parseChallenges, parseLink, parseRetryAfter } from './headers.js';

const digest = `sha256:${'a'.repeat(64)}` as const;
const plain = (values: readonly { params: Readonly<Record<string, string>> }[]) =>
  values.map((value) => ({ ...value, params: { ...value.params } }));

describe('B6 challenges', () => {
  it.each([
    [
      'Docker Hub',
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/alpine:pull"',
      [
        {
          scheme: 'bearer',
          params: {
            realm: 'https://auth.docker.io/token',
            service: 'registry.docker.io',
            scope: 'repository:library/alpine:pull',
          },
        },
      ],
    ],
    ['case of scheme and names', 'BEARER Realm="R"', [{ scheme: 'bearer', params: { realm: 'R' } }]],
    [
      'unquoted',
      'Bearer realm=https://x.example/token?a=b,service=s',
      [{ scheme: 'bearer', params: { realm: 'https://x.example/token?a=b', service: 's' } }],
    ],
    [
      'commas in quotes',
      'Bearer realm="r",scope="repository:a:pull,push",error="x"',
      [{ scheme: 'bearer', params: { realm: 'r', scope: 'repository:a:pull,push', error: 'x' } }],
    ],
    [
      'several',
      'Basic realm="a, b", Bearer realm="c",service="d",Negotiate',
      [
        { scheme: 'basic', params: { realm: 'a, b' } },
        { scheme: 'bearer', params: { realm: 'c', service: 'd' } },
        { scheme: 'negotiate', params: {} },
      ],
    ],
    [
      'no params first',
      'Negotiate, Basic realm="x"',
      [
        { scheme: 'negotiate', params: {} },
        { scheme: 'basic', params: { realm: 'x' } },
      ],
    ],
    [
      'token68',
      'Negotiate oRQwEqAD+/==, Basic realm="x"',
      [
        { scheme: 'negotiate', params: {} },
        { scheme: 'basic', params: { realm: 'x' } },
      ],
    ],
    [
      'white space',
      '  Bearer   realm = "r" ,\tservice= s , ',
      [{ scheme: 'bearer', params: { realm: 'r', service: 's' } }],
    ],
    ['escapes', String.raw`Basic realm="a \"b\" \\c"`, [{ scheme: 'basic', params: { realm: String.raw`a "b" \c` } }]],
    ['no end quote', 'Basic realm="abc', [{ scheme: 'basic', params: { realm: 'abc' } }]],
    ['the first of two', 'Bearer realm="good",realm="evil"', [{ scheme: 'bearer', params: { realm: 'good' } }]],
    [
      'an own __proto__',
      'Bearer __proto__="x",realm=r',
      [{ scheme: 'bearer', params: { ['__proto__']: 'x', realm: 'r' } }],
    ],
    ['empty value', 'Bearer realm="",service="s"', [{ scheme: 'bearer', params: { realm: '', service: 's' } }]],
    ['noise after it', 'Basic realm="a" \u0001', [{ scheme: 'basic', params: { realm: 'a' } }]],
    ['nothing', '', []],
    ['noise', '"', []],
  ])('%s', (_, header, want) => expect(plain(parseChallenges(header))).toEqual(want));

  it('reads several header lines, or none', () => {
    expect(parseChallenges(['Basic realm="a"', 'Bearer realm="b"']).map((c) => c.scheme)).toEqual(['basic', 'bearer']);
    expect(parseChallenges(undefined)).toEqual([]);
  });

  it('reads back what it writes', () => {
    const token = fc.stringMatching(/^[a-z][a-z0-9-]{0,9}$/);
    const value = fc.string().filter((text) => !/[\r\n\u2028\u2029]/.test(text));
    const challenge = fc.record({ scheme: token, params: fc.dictionary(token, value, { minKeys: 1, maxKeys: 4 }) });
    fc.assert(
      fc.property(fc.array(challenge, { maxLength: 4 }), (challenges) => {
        const header = challenges
          .map(({ scheme, params }) => {
            const written = Object.entries(params).map(
              ([key, text]) => `${key}="${text.replaceAll(/["\\]/g, '\\$&')}"`,
            );
            return `${scheme} ${written.join(',')}`;
          })
          .join(', ');
        expect(plain(parseChallenges(header))).toEqual(plain(challenges));
      }),
    );
  });
});

describe('Link', () => {
  it.each([
    ['</v2/a/tags/list?last=b&n=2>; rel="next"', { last: 'b', n: 2 }],
    ['</v2/a/tags/list?n=2&last=b>;rel=next', { last: 'b', n: 2 }],
    ['<https://evil.example/x?last=b%2Fc>; rel="next"', { last: 'b/c' }],
    ['<?last=b>; REL="NEXT"', { last: 'b' }],
    ['</p?last=a>; rel="prev", </n?last=b>; title="a, <b>; c"; rel="start next"', { last: 'b' }],
    ['</n?last=b&n=99999999999>; rel="next"', { last: 'b', n: 10_000 }],
    ['</n?last=b&n=x>; rel="next"', { last: 'b' }],
    ['</n?n=2>; rel="next"', undefined],
    ['</n>; rel="next"', undefined],
    ['</n?last=b>; rel="last"', undefined],
    ['</n?last=b>', undefined],
    ['/n?last=b; rel="next"', undefined],
    ['', undefined],
    [undefined, undefined],
  ])('B37 takes only last and n of %j', (header, want) => expect(nextPage(header)).toEqual(want));

  it('reads back what it writes, and takes from it only last and n', () => {
    const part = fc.string().filter((text) => !/[\r\n\u2028\u2029]/.test(text));
    const link = fc.record({
      target: fc.webPath().map((path) => path.replaceAll(/[<>]/g, '')),
      params: fc.dictionary(fc.stringMatching(/^[a-z][a-z0-9-]{0,9}$/), part, { maxKeys: 3 }),
    });
    const next = fc.record({ last: fc.string({ unit: 'grapheme' }), n: fc.nat(10_000) });
    const written = ({ target, params }: Link) =>
      [
        `<${target}>`,
        ...Object.entries(params).map(([key, text]) => `${key}="${text.replaceAll(/["\\]/g, '\\$&')}"`),
      ].join('; ');
    fc.assert(
      fc.property(fc.array(link, { maxLength: 3 }), next, fc.webUrl(), (links, { last, n }, url) => {
        const others = links.filter(({ params }) => params.rel === undefined);
        const target = `${url.split('?')[0]}?n=${n}&last=${encodeURIComponent(last)}`;
        const all = [...others, { target, params: { rel: 'next' } }];
        expect(plain(parseLink(all.map(written).join(', ')))).toEqual(plain(all));
        expect(nextPage(all.map(written).join(', '))).toEqual({ last, n });
      }),
    );
  });

  it('keeps targets and parameters', () => {
    expect(plain(parseLink('< /a > ; rel="next";x=1 ,<b>'))).toEqual([
      { target: '/a', params: { rel: 'next', x: '1' } },
      { target: 'b', params: {} },
    ]);
  });
});

describe('B17 Retry-After', () => {
  const now = Date.parse('2026-01-02T03:04:05Z');
  it.each([
    ['120', 120],
    [' 0 ', 0],
    ['99999999999999999999', 86_400],
    ['Fri, 02 Jan 2026 03:05:05 GMT', 60],
    ['Friday, 02-Jan-26 03:05:05 GMT', 60],
    ['Fri Jan  2 03:05:05 2026', 60],
    ['Fri, 02 Jan 2026 03:00:00 GMT', 0],
    ['Fri, 02 Jan 2126 03:00:00 GMT', 86_400],
    ['-5', undefined],
    ['1.5', undefined],
    ['soon', undefined],
    ['', undefined],
    [undefined, undefined],
  ])('%j is %s', (value, want) => expect(parseRetryAfter(value, now)).toBe(want));

  it('rounds up to whole seconds', () => {
    expect(parseRetryAfter('Fri, 02 Jan 2026 03:04:07 GMT', now + 1)).toBe(2);
  });
});

describe('A57 If-None-Match', () => {
  it.each([
    `"${digest}"`,
    `W/"${digest}"`,
    digest,
    '*',
    ` "${digest}" `,
    `"other", "${digest}"`,
    `"other",W/"${digest}","third"`,
  ])('%s matches', (header) => expect(etagMatches(header, digest)).toBe(true));

  it.each([
    undefined,
    '',
    '""',
    '"*"',
    `"${digest}`,
    `"${digest.slice(0, -1)}"`,
    `"sha256:${'b'.repeat(64)}"`,
    `"x${digest}"`,
  ])('%s does not', (header) => expect(etagMatches(header, digest)).toBe(false));

  it('matches exactly the lists that hold it', () => {
    const hex = fc.array(fc.constantFrom(...'0123456789abcdef'), { minLength: 64, maxLength: 64 });
    const other = hex.map((digits) => `sha256:${digits.join('')}`).filter((each) => each !== digest);
    const spelled = (each: string) => fc.constantFrom(`"${each}"`, `W/"${each}"`, each);
    const others = fc.array(other.chain(spelled), { maxLength: 5 });
    fc.assert(
      fc.property(others, others, spelled(digest), fc.constantFrom(',', ', ', ' ,\t'), (before, after, mine, comma) => {
        expect(etagMatches([...before, mine, ...after].join(comma), digest)).toBe(true);
        expect(etagMatches([...before, ...after].join(comma), digest)).toBe(false);
      }),
    );
  });
});

describe('any header', () => {
  const noise = fc
    .array(
      fc.constantFrom('Bearer', ' ', '=', '"', '\\', ',', ';', '<', '>', 'realm', 'W/', '*', '%', '\n', 'é', '?last='),
    )
    .map((parts) => parts.join(''));

  it('never throws', () => {
    fc.assert(
      fc.property(fc.oneof(noise, fc.string(), fc.string({ unit: 'binary' })), (text) => {
        parseChallenges(text);
        nextPage(text);
        parseRetryAfter(text, 0);
        etagMatches(text, digest);
      }),
      { numRuns: 300 },
    );
  });

  it.each(['a', ' ', '=', '"', '\\', ',', ';', '<', '<>', 'a ', 'a=', 'a=a,', '\\"', 'a="', '0'])(
    'ends on a long run of %j',
    (unit) => {
      for (const start of ['', 'Bearer ', 'Bearer realm="', '<a>; rel='])
        for (const end of ['', '!', '\u0001']) {
          const text = `${start}${unit.repeat(60_000)}${end}`;
          parseChallenges(text);
          nextPage(text);
          parseRetryAfter(text, 0);
          etagMatches(text, digest);
        }
    },
  );
});
