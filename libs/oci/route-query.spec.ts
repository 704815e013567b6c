import { Failure } from './failure.js';
import { MAX_PAGE, parseRoute } from './route.js';

const digest = `sha256:${'0123456789abcdef'.repeat(4)}`;

function refusal(target: string): string {
  try {
    return `accepted as ${JSON.stringify(parseRoute(target))}`;
  } catch (error) {
    expect(error).toBeInstanceOf(Failure);
    return (error as Failure).reason;
  }
}

describe('ns', () => {
  it.each([
    ['docker.io', 'docker.io'],
    ['Index.Docker.IO:443', 'Index.Docker.IO:443'],
    ['127.0.0.1%3A5000', '127.0.0.1:5000'],
    ['127.0.0.1:5000', '127.0.0.1:5000'],
    ['%5B::1%5D:5000', '[::1]:5000'],
    ['localhost', 'localhost'],
  ])('is %s as %s on every endpoint', (raw, ns) => {
    for (const rest of ['a/manifests/latest', `a/blobs/${digest}`, 'a/tags/list', `a/referrers/${digest}`, '_catalog'])
      expect(parseRoute(`/v2/${rest}?ns=${raw}`)).toMatchObject({ ns });
  });

  it.each([
    'https://quay.io',
    'quay.io/a',
    'user@quay.io',
    'quay.io%20',
    '+quay.io',
    'quay.io%23a',
    'quay.io%00',
    '',
    '%zz',
    '2130706433',
    '0x7f.1',
    'a&ns=a',
    'quay.io&ns=ghcr.io',
  ])('A36 refuses %j', (raw) => {
    expect(refusal(`/v2/a/manifests/latest?ns=${raw}`)).toBe('NAME_INVALID');
    expect(refusal(`/v2/a/blobs/${digest}?x=1&ns=${raw}`)).toBe('NAME_INVALID');
  });

  it('A38 ignores unknown parameters', () => {
    expect(parseRoute('/v2/a/manifests/latest?NS=x/y&foo=%ff&&=&ä=1&?')).toEqual({
      kind: 'manifest',
      name: 'a',
      reference: 'latest',
      isDigest: false,
    });
    expect(parseRoute('/v2/a/manifests/latest?n=x&last=%00')).toMatchObject({ kind: 'manifest' });
  });
});

describe('paging and filters', () => {
  it.each([
    ['A101', 'n=0', { n: 0 }],
    ['A101', 'n=5&last=v1', { n: 5, last: 'v1' }],
    ['A101', 'last=a%2Fb', { last: 'a/b' }],
    ['A103', 'n=10000', { n: 10_000 }],
    ['A103', 'n=10001', { n: MAX_PAGE }],
    ['A103', `n=${'9'.repeat(400)}`, { n: MAX_PAGE }],
    ['A38', '', {}],
  ])('%s %s', (_, query, want) => {
    expect(parseRoute(`/v2/a/tags/list?${query}`)).toEqual({ kind: 'tags', name: 'a', ...want });
    expect(parseRoute(`/v2/_catalog?${query}`)).toEqual({ kind: 'catalog', ...want });
  });

  it.each(['-1', 'x', '', '1.5', '1e3', '0x10', '%201', '+1', '٣'])('A94 refuses n=%s', (n) => {
    expect(refusal(`/v2/a/tags/list?n=${encodeURI(n)}`)).toBe('PAGINATION_NUMBER_INVALID');
    expect(refusal(`/v2/_catalog?n=${encodeURI(n)}`)).toBe('PAGINATION_NUMBER_INVALID');
  });

  it('A101 refuses a marker that no list holds', () => {
    expect(refusal('/v2/a/tags/list?last=%00')).toBe('NAME_INVALID');
    expect(refusal(`/v2/a/tags/list?last=${'a'.repeat(600)}`)).toBe('NAME_INVALID');
  });

  it.each([
    ['artifactType=application%2Fspdx%2Bjson', { artifactType: 'application/spdx+json' }],
    ['artifactType=application/spdx+json', { artifactType: 'application/spdx+json' }],
    ['artifactType=', {}],
  ])('A108 %s', (query, want) =>
    expect(parseRoute(`/v2/a/referrers/${digest}?${query}`)).toEqual({ kind: 'referrers', name: 'a', digest, ...want }),
  );
});
