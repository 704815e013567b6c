import fc from 'fast-check';
import { canonicalHost, Failure, formatRepository, parseRoute } from '#oci';
import { resolveSource, type SourceRules } from './source.js';

const forbidden = new Set(['evil.example', '169.254.169.254', 'localhost:6379', '[::1]', 'metadata.google.internal']);
const rules: SourceRules = {
  defaultNs: 'docker.io',
  configured: new Set(['registry', 'docker.io']),
  allows: (host) => !forbidden.has(host),
};
const failing = (reason: string) => expect.objectContaining({ reason });

describe('resolveSource', () => {
  const hub = { upstream: 'docker.io', path: 'library/alpine' };
  it.each([
    ['ns', { name: 'alpine', ns: 'docker.io' }],
    ['A34 ns, full path', { name: 'library/alpine', ns: 'docker.io' }],
    ['A33 ns, alias', { name: 'library/alpine', ns: 'Index.Docker.IO:443' }],
    ['A30 ns and override_path', { name: 'docker.io/library/alpine', ns: 'docker.io' }],
    ['A30 canonically equal', { name: 'registry-1.docker.io:443/alpine', ns: 'DOCKER.io' }],
    ['X-Registry', { name: 'alpine', hostHeader: 'docker.io' }],
    ['X-Registry and in-path', { name: 'docker.io/alpine', hostHeader: 'index.docker.io' }],
    ['ns before X-Registry', { name: 'alpine', ns: 'docker.io', hostHeader: 'quay.io' }],
    ['A29 in-path', { name: 'docker.io/alpine' }],
    ['A33 alias in-path', { name: 'registry-1.docker.io/library/alpine' }],
    ['A33 case in-path', { name: 'Docker.io:443/library/alpine' }],
    ['A29 default', { name: 'alpine' }],
    ['A29 default, full path', { name: 'library/alpine' }],
  ])('one key for every way of asking: %s', (_, request) => expect(resolveSource(request, rules)).toEqual(hub));

  it.each([
    ['A30 another first segment is literal under ns', { name: 'quay.io/a', ns: 'ghcr.io' }, 'ghcr.io/quay.io/a'],
    ['A30 a configured one too', { name: 'registry/a', ns: 'ghcr.io' }, 'ghcr.io/registry/a'],
    ['A30 another port is another host', { name: 'quay.io/a', ns: 'quay.io:5000' }, 'quay.io:5000/quay.io/a'],
    ['A30 only one segment is stripped', { name: 'quay.io/quay.io/a', ns: 'quay.io' }, 'quay.io/quay.io/a'],
    ['A30 a lone segment is a path', { name: 'quay.io', ns: 'quay.io' }, 'quay.io/quay.io'],
    ['A29 a lone segment is a path', { name: 'quay.io' }, 'docker.io/library/quay.io'],
    ['A29 localhost alone is a path', { name: 'localhost' }, 'docker.io/library/localhost'],
    ['A29 a configured host needs no dot', { name: 'registry/a' }, 'registry/a'],
    ['A29 others without a dot are paths', { name: 'team/a' }, 'docker.io/team/a'],
    ['A29 localhost is a host', { name: 'localhost/a' }, 'localhost/a'],
    ['A32 a port', { name: '127.0.0.1:5004/app' }, '127.0.0.1:5004/app'],
    ['A32 a port without a dot', { name: 'mirror:5004/app/b' }, 'mirror:5004/app/b'],
    ['A34 never for others', { name: 'alpine', ns: 'quay.io' }, 'quay.io/alpine'],
    ['A34 never for others in-path', { name: 'quay.io/alpine' }, 'quay.io/alpine'],
  ])('%s', (_, request, full) => expect(formatRepository(resolveSource(request, rules))).toBe(full));

  it('takes another default', () => {
    expect(resolveSource({ name: 'a' }, { ...rules, defaultNs: 'Quay.io' })).toEqual({
      upstream: 'quay.io',
      path: 'a',
    });
  });

  it('A29 without a default a name needs a host', () => {
    const none = { ...rules, defaultNs: '' };
    expect(() => resolveSource({ name: 'alpine' }, none)).toThrow(failing('NAME_UNKNOWN'));
    expect(() => resolveSource({ name: 'team/alpine' }, none)).toThrow(failing('NAME_UNKNOWN'));
    expect(resolveSource({ name: 'quay.io/a' }, none)).toEqual({ upstream: 'quay.io', path: 'a' });
    expect(resolveSource({ name: 'a', ns: 'quay.io' }, none)).toEqual({ upstream: 'quay.io', path: 'a' });
    expect(resolveSource({ name: 'registry/a' }, none)).toEqual({ upstream: 'registry', path: 'a' });
  });

  it.each([...forbidden])('A35, C28 %s is unknown however it is named', (host) => {
    expect(() => resolveSource({ name: 'a', ns: host }, rules)).toThrow(failing('NAME_UNKNOWN'));
    expect(() => resolveSource({ name: 'a', hostHeader: host }, rules)).toThrow(failing('NAME_UNKNOWN'));
    expect(() => resolveSource({ name: `${host}/a` }, rules)).toThrow(failing('NAME_UNKNOWN'));
    expect(() => resolveSource({ name: 'a' }, { ...rules, defaultNs: host })).toThrow(failing('NAME_UNKNOWN'));
  });

  it.each(['http://x', 'x/y', 'u@x', 'x y', 'x#y', '', '2130706433', '0x7f.1', 'quay.io, ghcr.io'])(
    'A36 refuses the host %j',
    (host) => {
      expect(() => resolveSource({ name: 'a', ns: host }, rules)).toThrow(failing('NAME_INVALID'));
      expect(() => resolveSource({ name: 'a', hostHeader: host }, rules)).toThrow(failing('NAME_INVALID'));
    },
  );

  it.each([
    ['a host-like segment that is no host', { name: 'a_b.c/d' }],
    ['an address in a form of its own', { name: '127.1/d' }],
    ['a host under another ns that is no path', { name: '127.0.0.1:5004/app', ns: 'quay.io' }],
    ['A25 too long with its host', { name: 'a'.repeat(250), ns: 'quay.io' }],
  ])('refuses %s', (_, request) => expect(() => resolveSource(request, rules)).toThrow(failing('NAME_INVALID')));

  const segment = fc.stringMatching(/^[a-z0-9]{1,6}$/).filter((text) => text !== 'registry' && text !== 'localhost');
  const path = fc.array(segment, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
  const host = fc.oneof(
    fc.constantFrom('docker.io', 'INDEX.docker.io', 'quay.io:443', '10.0.0.1:5000', 'GHCR.io'),
    fc.domain(),
  );

  it('gives one key for ns, X-Registry, path and both, through the route parser', () => {
    fc.assert(
      fc.property(
        path,
        host.filter((h) => canonicalHost(h) !== undefined && h.length < 200),
        (name, h) => {
          const ask = (target: string, hostHeader?: string) => {
            const route = parseRoute(target);
            if (route.kind !== 'manifest') throw new Error('not a manifest');
            return formatRepository(
              resolveSource({ name: route.name, ns: route.ns, hostHeader }, { ...rules, allows: () => true }),
            );
          };
          const key = ask(`/v2/${name}/manifests/latest?ns=${encodeURIComponent(h)}`);
          expect(ask(`/v2/${name}/manifests/latest`, h)).toBe(key);
          expect(ask(`/v2/${h}/${name}/manifests/latest`)).toBe(key);
          expect(ask(`/v2/${h}/${name}/manifests/latest?ns=${h}`)).toBe(key);
          expect(key.startsWith(`${canonicalHost(h)}/`)).toBe(true);
        },
      ),
    );
  });

  it('throws nothing but client failures', () => {
    const noise = fc
      .array(fc.constantFrom('a', 'B', '.', ':', '/', '@', '[::1]', 'quay.io', 'é', ' ', '%'))
      .map((parts) => parts.join(''));
    const text = fc.oneof(noise, fc.string());
    const maybe = fc.option(text, { nil: undefined });
    fc.assert(
      fc.property(text, maybe, maybe, text, (name, ns, hostHeader, defaultNs) => {
        try {
          resolveSource({ name, ns, hostHeader }, { ...rules, defaultNs });
        } catch (error) {
          expect(error).toBeInstanceOf(Failure);
          expect([400, 404]).toContain((error as Failure).status);
        }
      }),
    );
  });
});
