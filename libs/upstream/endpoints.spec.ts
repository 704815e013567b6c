import { Endpoints } from './endpoints.js';

const own = (endpoints: Endpoints, host: string) => endpoints.find(host, true).at(-1)!;

describe('Endpoints', () => {
  const standard = new Endpoints({
    registries: [
      { name: '127.0.0.1:5000', scheme: 'http' },
      { name: 'Index.Docker.IO', auth: { user: 'u', password: 'p' } },
    ],
  });

  it('B8: Docker Hub has its API elsewhere, under any of its names', async () => {
    expect(own(standard, 'docker.io').origin).toBe('https://registry-1.docker.io');
    await expect(own(standard, 'docker.io').credentials.get()).resolves.toMatchObject({ user: 'u' });
    expect(own(new Endpoints({}), 'docker.io').origin).toBe('https://registry-1.docker.io');
  });

  it.each(['docker.io', 'registry.k8s.io', 'ghcr.io', 'europe-docker.pkg.dev', 'eu.gcr.io', '127.0.0.1:5000'])(
    'allows %s as well known or configured',
    (host) => expect(standard.allows(host)).toBe(true),
  );

  it.each([
    'example.com',
    'pkg.dev',
    'evilpkg.dev',
    'ghcr.io.example.com',
    'ghcr.io:8443',
    '127.0.0.1:5001',
    'localhost',
  ])('does not allow %s', (host) => {
    expect(standard.allows(host)).toBe(false);
    expect(() => standard.find(host, true)).toThrow(expect.objectContaining({ reason: 'NAME_UNKNOWN' }));
  });

  it('C28: with unlisted ones allowed, what cannot be public is still refused without DNS', () => {
    const open = new Endpoints({ allowUnlisted: true });
    expect(open.allows('example.com')).toBe(true);
    expect(open.allows('example.com:5000')).toBe(true);
    const refused = [
      '169.254.169.254',
      'localhost:6379',
      '[::1]',
      '[::1]:5000',
      '2130706433',
      '0x7f.1',
      '10.0.0.1:5000',
      'metadata.google.internal',
      'http://example.com',
      'example.com/path',
      'user@example.com',
      'Example.com',
      '',
    ];
    for (const host of refused) expect([host, open.allows(host)]).toEqual([host, false]);
  });

  it('B45: is https unless http is configured', () => {
    expect(own(standard, '127.0.0.1:5000').origin).toBe('http://127.0.0.1:5000');
    expect(own(new Endpoints({ allowUnlisted: true }), 'example.com:5000').origin).toBe('https://example.com:5000');
    expect(own(new Endpoints({ registries: [{ name: 'a.example:80' }] }), 'a.example:80').origin).toBe(
      'https://a.example:80',
    );
  });

  it('asks mirrors first: for a digest all of them, for a tag those that may resolve, the upstream itself last', () => {
    const endpoints = new Endpoints({
      registries: [
        {
          name: 'docker.io',
          mirrors: [{ url: 'http://127.0.0.1:5001' }, { url: 'https://harbor.example/v2/hub/', resolve: true }],
        },
        { name: 'harbor.example', auth: { user: 'robot', password: 'p' } },
      ],
    });
    const hosts = (byDigest: boolean) => endpoints.find('docker.io', byDigest).map(({ host }) => host);
    expect(hosts(true)).toEqual(['127.0.0.1:5001', 'harbor.example', 'docker.io']);
    expect(hosts(false)).toEqual(['harbor.example', 'docker.io']);
    expect(endpoints.find('docker.io', false)[0]).toMatchObject({
      credentials: own(endpoints, 'harbor.example').credentials,
      mirror: { of: 'docker.io', prefix: 'hub/' },
      gate: own(endpoints, 'harbor.example').gate,
    });
    expect(endpoints.allows('127.0.0.1:5001')).toBe(false);
    expect(endpoints.known().map(({ host }) => host)).toEqual(['docker.io', '127.0.0.1:5001', 'harbor.example']);
  });

  it('keeps the breakers and pauses of a bounded number of upstreams that nobody configured', () => {
    const endpoints = new Endpoints({ allowUnlisted: true, registries: [{ name: 'kept.example.com' }] });
    for (let n = 0; n < 1_100; n++) own(endpoints, `r${n}.example.com`);
    const hosts = endpoints.known().map(({ host }) => host);
    expect(hosts).toHaveLength(1_001);
    expect([
      hosts.includes('kept.example.com'),
      hosts.includes('r0.example.com'),
      hosts.includes('r1099.example.com'),
    ]).toEqual([true, false, true]);
  });

  it('refuses a name that is no host', () => {
    expect(() => new Endpoints({ registries: [{ name: 'http://a' }] })).toThrow('not a registry host: http://a');
  });
});
