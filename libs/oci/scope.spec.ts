import fc from 'fast-check';
import { parseChallenges } from './headers.js';
import { isTokenPath, parseRoute, tokenPathFor } from './route.js';
import { formatBearer, parseGrant, scopeOf } from './scope.js';

const names = (...scopes: string[]) => [...parseGrant(scopes).repositories];

describe('A15: what a scope gives', () => {
  it.each([
    ['repository:library/alpine:pull', ['library/alpine']],
    ['repository:library/alpine:pull,push', ['library/alpine']],
    ['repository:library/alpine:*', ['library/alpine']],
    ['repository:library/alpine:push', []],
    ['repository:library/alpine:', []],
    ['repository(plugin):a/b:pull', ['a/b']],
    ['repository:ghcr.io/acme/app:pull', ['ghcr.io/acme/app']],
    ['repository:127.0.0.1:5004/app:pull', ['127.0.0.1:5004/app']],
    ['repository:[::1]:5004/app:pull', ['[::1]:5004/app']],
    ['repository:a:pull repository:b:pull', ['a', 'b']],
    ['repository:a:pull  repository:a:pull', ['a']],
    ['repository:a"b:pull', []],
    ['repository::pull', []],
    ['registry:catalog:*', []],
    ['', []],
    ['nonsense', []],
  ])('%j', (scope, expected) => expect(names(scope)).toEqual(expected));

  it('takes several parameters', () => {
    expect(names('repository:a:pull', 'repository:b:pull')).toEqual(['a', 'b']);
    expect(parseGrant(['registry:catalog:*', 'repository:a:pull']).catalog).toBe(true);
    expect(parseGrant(['registry:catalog:pull', 'registry:other:*']).catalog).toBe(false);
  });

  it('A14: is bounded, whatever is asked for', () => {
    const many = Array.from({ length: 500 }, (_, n) => `repository:team/app-${n}:pull`);
    expect(names(...many).join('').length).toBeLessThan(4000);
    fc.assert(
      fc.property(fc.array(fc.string()), (scopes) => {
        const { repositories } = parseGrant(scopes);
        expect([...repositories].every((name) => /^[^\s"\\]+$/.test(name))).toBe(true);
      }),
    );
  });
});

describe('A10: the challenge', () => {
  it('is exact, without a space after commas', () => {
    expect(formatBearer({ realm: 'https://a.b/v2/token', service: 's', scope: 'repository:x/y:pull' })).toBe(
      'Bearer realm="https://a.b/v2/token",service="s",scope="repository:x/y:pull"',
    );
    expect(formatBearer({ realm: 'r', service: 's', error: 'invalid_token' })).toBe(
      'Bearer realm="r",service="s",error="invalid_token"',
    );
  });

  it.each([
    ['/v2/', undefined],
    ['/v2/_catalog', 'registry:catalog:*'],
    ['/v2/a/b/manifests/v1?ns=quay.io', 'repository:a/b:pull'],
    ['/v2/127.0.0.1:5004/app/tags/list', 'repository:127.0.0.1:5004/app:pull'],
    [`/v2/a/blobs/sha256:${'0'.repeat(64)}`, 'repository:a:pull'],
  ])('%s needs %s', (target, scope) => {
    expect(scopeOf(parseRoute(target))).toBe(scope);
    const [challenge] = parseChallenges(formatBearer({ realm: 'r', service: 's', ...(scope ? { scope } : {}) }));
    expect(challenge?.params.scope).toBe(scope);
  });
});

describe('the place that gives tokens', () => {
  it.each([
    ['/v2/', undefined, '/v2/token'],
    ['/v2/a/manifests/b?x=y', '', '/v2/token'],
    ['http://host/v2/a/manifests/b', '', '/v2/token'],
    ['/team/v2/a/manifests/b', 'team', '/team/v2/token'],
    ['/v2/team/a/manifests/b', '/team/', '/v2/team/token'],
    ['/v2/a/manifests/b', 'team', '/v2/token'],
    ['/elsewhere', '', '/v2/token'],
  ])('%s below %s: %s', (target, prefix, path) => {
    expect(tokenPathFor(target, prefix)).toBe(path);
    expect(isTokenPath(`${path}?scope=a`, prefix)).toBe(true);
    expect(parseRoute(path, prefix)).toEqual({ kind: 'token' });
  });

  it('is no repository', () => {
    expect(isTokenPath('/v2/token/manifests/v1')).toBe(false);
    expect(parseRoute('/v2/token/manifests/v1')).toMatchObject({ kind: 'manifest', name: 'token' });
    expect(isTokenPath('/v2/tokens')).toBe(false);
  });
});
