import { resolveSource, type SourceRules } from './source.js';

const rules: SourceRules = {
  defaultNs: 'docker.io',
  isConfigured: (host) => host === 'registry',
  allows: (host) => host !== 'evil.example',
};

describe('resolveSource', () => {
  const hub = { upstream: 'docker.io', path: 'library/alpine' };
  it.each([
    ['ns', { name: 'alpine', ns: 'docker.io' }],
    ['ns, full path', { name: 'library/alpine', ns: 'index.docker.io' }],
    ['A30 ns and override_path', { name: 'docker.io/library/alpine', ns: 'docker.io' }],
    ['X-Registry', { name: 'alpine', hostHeader: 'docker.io' }],
    ['in-path', { name: 'docker.io/alpine' }],
    ['A33 alias in path', { name: 'registry-1.docker.io/library/alpine' }],
    ['default', { name: 'alpine' }],
  ])('gives one key for every way of asking: %s', (_, request) => expect(resolveSource(request, rules)).toEqual(hub));

  it('A30: another first segment is literal under ns', () => {
    expect(resolveSource({ name: 'quay.io/a', ns: 'ghcr.io' }, rules)).toEqual({
      upstream: 'ghcr.io',
      path: 'quay.io/a',
    });
  });

  it('A29: a configured host needs no dot; A32: nor does one with a port', () => {
    expect(resolveSource({ name: 'registry/a' }, rules)).toEqual({ upstream: 'registry', path: 'a' });
    expect(resolveSource({ name: '127.0.0.1:5000/a' }, rules)).toEqual({ upstream: '127.0.0.1:5000', path: 'a' });
    expect(resolveSource({ name: 'team/a' }, rules)).toEqual({ upstream: 'docker.io', path: 'team/a' });
  });

  it('A35: what is not allowed, or has no default, is unknown', () => {
    const unknown = expect.objectContaining({ reason: 'NAME_UNKNOWN' });
    expect(() => resolveSource({ name: 'a', ns: 'evil.example' }, rules)).toThrow(unknown);
    expect(() => resolveSource({ name: 'alpine' }, { ...rules, defaultNs: '' })).toThrow(unknown);
  });

  it('A36: a bad header is refused as a bad ns is', () => {
    expect(() => resolveSource({ name: 'a', hostHeader: 'http://x' }, rules)).toThrow(
      expect.objectContaining({ reason: 'NAME_INVALID' }),
    );
  });
});
