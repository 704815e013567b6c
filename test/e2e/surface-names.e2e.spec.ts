import { type RawAnswer, raw } from '../support/raw.js';
import { type Installation, install, stacks } from '../support/servers.js';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream/index.js';

jest.setTimeout(240_000);

const errorOf = (answer: RawAnswer) => [answer.status, JSON.parse(answer.body.toString()).errors[0].code];
const hex = '0'.repeat(64);

describe.each(stacks())('names and addresses on the %s stack', (name) => {
  /** The default upstream, named in the path with its port; stands in for Docker Hub too, as its mirror. */
  let upstream: FakeUpstream;
  let system: Installation;
  let base: string;

  beforeAll(async () => {
    upstream = await startFakeUpstream();
    system = await install(name, [upstream.host], {
      registries: [
        { name: upstream.host, scheme: 'http' },
        { name: 'docker.io', mirrors: [{ url: upstream.url, resolve: true }] },
      ],
      defaultNs: upstream.host,
      pathPrefix: '/corp/mirror',
      trustProxy: ['127.0.0.0/8'],
      prefetch: { enabled: false },
    });
    base = system.gateways.at(-1)!.url;
  });
  afterAll(async () => {
    await system?.stop();
    await upstream?.stop();
  });

  const put = (repository: string, tag = 'v1') => upstream.addImage({ repository, tag }).root.digest;
  const digestOf = (answer: RawAnswer) => [answer.status, answer.header('docker-content-digest')];
  /** Nothing of it may reach an upstream. */
  const refused = async (target: string, headers: readonly string[] = []) => {
    const before = upstream.requests.length;
    const answer = await raw(base, target, { headers });
    expect(upstream.requests.length).toBe(before);
    return errorOf(answer);
  };

  it.each(['a', 'a.b/c_d', 'a__b', 'a---b', 'a/b/c/d/e/f/g/h', '0', 'a0.0'])('A23: %s is a name', async (path) => {
    const digest = put(path);
    expect(digestOf(await raw(base, `/v2/${upstream.host}/${path}/manifests/v1`))).toEqual([200, digest]);
  });

  it.each(['A/b', 'a..b', 'a___b', '-a', 'a-', '_a', 'a//b', 'a/', '/a', 'a.', 'a/-b', 'a b', 'a:b/c:d'])(
    'A23: %s is none',
    async (path) => {
      expect(await refused(`/v2/${path.replaceAll(' ', '%20')}/manifests/v1`)).toEqual([400, 'NAME_INVALID']);
    },
  );

  it.each([
    'manifests',
    'blobs',
    'tags',
    'x/tags/list',
    'manifests/manifests',
    'referrers/a',
    'v2',
    '_catalog/a'.slice(1),
  ])('A24: a repository may be called %s', async (path) => {
    const digest = put(path);
    expect(digestOf(await raw(base, `/v2/${path}/manifests/v1`))).toEqual([200, digest]);
    const tags = await raw(base, `/v2/${path}/tags/list`);
    expect(JSON.parse(tags.body.toString())).toEqual({ name: path, tags: ['v1'] });
  });

  it('A25: host, slash and name longer than 255 are refused', async () => {
    const fitting = 'a'.repeat(255 - upstream.host.length - 1);
    expect(await refused(`/v2/${fitting}a/manifests/v1`)).toEqual([400, 'NAME_INVALID']);
    const digest = put(fitting);
    expect(digestOf(await raw(base, `/v2/${fitting}/manifests/v1`))).toEqual([200, digest]);
  });

  it('A26: tags are case-sensitive and 1 to 128 long', async () => {
    const upper = put('cased', 'V1');
    const lower = upstream.addImage({ repository: 'cased', tag: 'v1', seed: 2 }).root.digest;
    expect(digestOf(await raw(base, '/v2/cased/manifests/V1'))).toEqual([200, upper]);
    expect(digestOf(await raw(base, '/v2/cased/manifests/v1'))).toEqual([200, lower]);
    const long = 'x'.repeat(128);
    const digest = put('cased', long);
    expect(digestOf(await raw(base, `/v2/cased/manifests/${long}`))).toEqual([200, digest]);
    for (const bad of ['-a', '.a', `x${long}`, 'a+b', 'a~b', 'a@b']) {
      expect(await refused(`/v2/cased/manifests/${bad}`)).toEqual([400, 'MANIFEST_INVALID']);
    }
  });

  it.each([
    `sha256:${hex.slice(1)}`,
    `sha256:${hex}0`,
    `sha256:${'A'.repeat(64)}`,
    `sha512:${hex}`,
    `md5:${'0'.repeat(32)}`,
    'sha256:',
    `SHA256:${hex}`,
    `sha256:${hex}:`,
  ])('A27: %s is no digest', async (digest) => {
    expect(await refused(`/v2/a/blobs/${digest}`)).toEqual([400, 'DIGEST_INVALID']);
    expect(await refused(`/v2/a/manifests/${digest}`)).toEqual([400, 'DIGEST_INVALID']);
    expect(await refused(`/v2/a/referrers/${digest}`)).toEqual([400, 'DIGEST_INVALID']);
  });

  it('A28: %3A is a colon', async () => {
    const digest = put('encoded');
    for (const colon of ['%3A', '%3a']) {
      expect(digestOf(await raw(base, `/v2/encoded/manifests/${digest.replace(':', colon)}`))).toEqual([200, digest]);
    }
  });

  it.each([
    '/v2/a%2Fb/manifests/v1',
    '/v2/a/manifests/v1%00',
    '/v2/%2e%2e/a/manifests/v1',
    '/v2/..%2f..%2fetc/manifests/v1',
    '/v2/../../etc/passwd',
    '/v2/a/../b/manifests/v1',
    '/v2/./a/manifests/v1',
    '/v2//a/manifests/v1',
    '//v2/a/manifests/v1',
    '/v2/a\\b/manifests/v1',
    '/v2/a%5Cb/manifests/v1',
    '/v2/a/manifests/%76%31',
    '/v2/a%252Fb/manifests/v1',
    '/v2/a/blobs/sha256%253A00',
    '/v2/\u00e9/manifests/v1',
    '/v2/%C3%A9/manifests/v1',
    '/v2/a/manifests/v1%0d%0aX:1',
  ])('A28: %s is refused', async (target) => {
    expect((await refused(target))[0]).toBe(400);
  });

  it('A29, A30, A32: one image by default, by ns, by host in the path with its port, by both, by X-Registry', async () => {
    const digest = put('many/ways');
    upstream.requests.clear();
    const { host } = upstream;
    for (const [target, headers] of [
      ['/v2/many/ways/manifests/v1', []],
      [`/v2/many/ways/manifests/v1?ns=${host}`, []],
      [`/v2/${host}/many/ways/manifests/v1`, []],
      [`/v2/${host}/many/ways/manifests/v1?ns=${host}`, []],
      [`/v2/${host.replace(':', '%3A')}/many/ways/manifests/v1?ns=${encodeURIComponent(host)}`, []],
      ['/v2/many/ways/manifests/v1', [`X-Registry: ${host}`]],
    ] as const) {
      expect(digestOf(await raw(base, target, { headers }))).toEqual([200, digest]);
    }
    expect(upstream.requests.gets(/manifests/)).toBe(1);
  });

  it('A30: with another ns the path is literal below it', async () => {
    expect(await refused(`/v2/${upstream.host}/a/manifests/v1?ns=docker.io`)).toEqual([400, 'NAME_INVALID']);
    expect(await refused('/v2/docker.io/a/manifests/v1?ns=unlisted.example')).toEqual([404, 'NAME_UNKNOWN']);
  });

  it('A31: the path prefix stands before or after /v2, also of Links, refusals and the version check', async () => {
    const digest = put('prefixed');
    put('prefixed', 'v2');
    for (const start of ['/corp/mirror/v2', '/v2/corp/mirror', '/v2']) {
      expect((await raw(base, `${start}/`)).body.toString()).toBe('{}');
      expect((await raw(base, start)).body.toString()).toBe('{}');
      expect(digestOf(await raw(base, `${start}/prefixed/manifests/v1`))).toEqual([200, digest]);
      expect(digestOf(await raw(base, `${start}/${upstream.host}/prefixed/manifests/v1`))).toEqual([200, digest]);
      expect((await raw(base, `${start}/prefixed/tags/list?n=1`)).header('link')).toBe(
        `<${start}/prefixed/tags/list?n=1&last=v1>; rel="next"`,
      );
      expect(errorOf(await raw(base, `${start}/prefixed/blobs/uploads/`, { method: 'POST' }))).toEqual([
        405,
        'UNSUPPORTED',
      ]);
    }
    expect(await refused('/corp/v2/')).toEqual([404, 'UNSUPPORTED']);
    expect(await refused('/mirror/v2/prefixed/manifests/v1')).toEqual([404, 'UNSUPPORTED']);
  });

  it('A102: what a trusted proxy took from the path comes back in Links, and nothing else does', async () => {
    put('proxied');
    put('proxied', 'v2');
    const link = async (prefix: string) =>
      (await raw(base, '/v2/proxied/tags/list?n=1', { headers: [`X-Forwarded-Prefix: ${prefix}`] })).header('link');
    const rest = 'v2/proxied/tags/list?n=1&last=v1>; rel="next"';
    expect(await link('/team/registry')).toBe(`</team/registry/${rest}`);
    expect(await link('/team/')).toBe(`</team/${rest}`);
    for (const bad of ['https://evil.example', '//evil.example', '/a>; rel="prev"', 'team', '/', '/é']) {
      expect(await link(bad)).toBe(`</${rest}`);
    }
  });

  it('A33, A34: Docker Hub has one name, and library/ is its only default', async () => {
    const digest = put('library/alpine');
    upstream.requests.clear();
    for (const target of [
      '/v2/docker.io/alpine/manifests/v1',
      '/v2/docker.io/library/alpine/manifests/v1',
      '/v2/index.docker.io/alpine/manifests/v1',
      '/v2/alpine/manifests/v1?ns=registry-1.docker.io',
      '/v2/library/alpine/manifests/v1?ns=DOCKER.IO:443',
      '/v2/docker.io/library/alpine/manifests/v1?ns=index.docker.io',
    ]) {
      expect([target, ...digestOf(await raw(base, target))]).toEqual([target, 200, digest]);
    }
    const gets = upstream.requests.filter({ method: 'GET', path: /manifests/ });
    expect(gets.map(({ path, query }) => [path, query.get('ns')])).toEqual([
      ['/v2/library/alpine/manifests/v1', 'docker.io'],
    ]);
    expect((await raw(base, `/v2/${upstream.host}/alpine/manifests/v1`)).status).toBe(404);
  });

  it.each(['unlisted.example', '169.254.169.254', 'localhost:6379', '[::1]', '[::1]:80', 'metadata.google.internal'])(
    'A35, C28: ns=%s is unknown, and nobody is called',
    async (ns) => {
      expect(await refused(`/v2/a/manifests/v1?ns=${encodeURIComponent(ns)}`)).toEqual([404, 'NAME_UNKNOWN']);
    },
  );

  it.each([
    'https://docker.io',
    'docker.io/library',
    'user@docker.io',
    'user:pass@docker.io',
    'docker.io ',
    ' ',
    '',
    'docker.io#x',
    'docker.io?x',
    '2130706433',
    '0x7f.1',
    '127.1',
    'docker.io:0',
    'docker.io:99999',
    'docker.io\0',
  ])('A36: ns=%j is invalid', async (ns) => {
    expect(await refused(`/v2/a/manifests/v1?ns=${encodeURIComponent(ns)}`)).toEqual([400, 'NAME_INVALID']);
  });

  it('A36: two of them are invalid, even when they agree', async () => {
    const { host } = upstream;
    expect(await refused(`/v2/a/manifests/v1?ns=${host}&ns=${host}`)).toEqual([400, 'NAME_INVALID']);
  });

  it('A7, A37, A38: ns comes back as it was sent, and other parameters mean nothing', async () => {
    const digest = put('echoed');
    const ns = upstream.host.toUpperCase();
    const answer = await raw(base, `/v2/echoed/manifests/v1?x=1&ns=${ns}&y&ns2=z`);
    expect([...digestOf(answer), answer.header('oci-namespace')]).toEqual([200, digest, ns]);
    expect((await raw(base, '/v2/echoed/manifests/v1')).header('oci-namespace')).toBeUndefined();
    expect((await raw(base, '/v2/?ns=x%20y')).body.toString()).toBe('{}');
  });

  it('takes the target in absolute form, as proxies send it', async () => {
    const digest = put('absolute');
    put('absolute', 'v2');
    const start = 'http://registry.test/v2/absolute';
    expect(digestOf(await raw(base, `${start}/manifests/v1`))).toEqual([200, digest]);
    expect((await raw(base, `${start}/tags/list?n=1`)).header('link')).toMatch(/^<\/v2\/absolute\/tags\/list\?/);
  });
});
