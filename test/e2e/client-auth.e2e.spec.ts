import { createHash } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hashSync } from 'bcryptjs';
import { SignJWT } from 'jose';
import { DocumentCheck } from '../support/api-document.js';
import { eventually } from '../support/eventually.js';
import { type RawAnswer, RawConnection, raw } from '../support/raw.js';
import { type Installation, install, stacks } from '../support/servers.js';
import { type AddedImage, type FakeUpstream, startFakeUpstream } from '../support/upstream/index.js';

jest.setTimeout(240_000);

const KEY = 'a-key-of-tokens-that-all-gateways-share';
const REALM = 'http://registry.test/v2/token';
const absent = `sha256:${'0'.repeat(64)}`;
const basic = (user: string, password: string) =>
  `Authorization: Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
const bearer = (token: string) => `Authorization: Bearer ${token}`;
const alice = basic('alice', 'alices-secret-1');
const bob = basic('bob', 'bobs-secret-2');

/** Everything that is answered of a repository. */
const targetsOf = (repository: string, { root, images }: AddedImage) => {
  const layer = images[0]!.layers[0]!.digest;
  return [
    `/v2/${repository}/manifests/v1`,
    `/v2/${repository}/manifests/${root.digest}`,
    `/v2/${repository}/blobs/${layer}`,
    `/v2/${repository}/tags/list`,
    `/v2/${repository}/referrers/${root.digest}`,
  ];
};

describe.each(stacks())('clientAuth on the %s stack', (name) => {
  let upstream: FakeUpstream;
  let system: Installation;
  let directory: string;
  let secret: AddedImage;
  let open: AddedImage;
  let free: AddedImage;
  let last: string;
  const check = new DocumentCheck();
  const users = (...lines: [string, string][]) =>
    writeFileSync(
      join(directory, 'users'),
      lines.map(([user, password]) => `${user}:${hashSync(password, 5).replace('$2b$', '$2y$')}\n`).join(''),
    );

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'ociregistry-users-'));
    chmodSync(directory, 0o755);
    users(['alice', 'alices-secret-1'], ['bob', 'bobs-secret-2']);
    upstream = await startFakeUpstream();
    const image = (repository: string, seed: number) =>
      upstream.addImage({ repository, tag: 'v1', seed, layers: [100_000] });
    [secret, open, free] = [image('secret/app', 1), image('open/app', 2), image('free/app', 3)];
    system = await install(name, [upstream.host], {
      defaultNs: upstream.host,
      prefetch: { enabled: false },
      ...(name === 'distributed' ? { redirect: 'always' } : {}),
      clientAuth: {
        htpasswd: join(directory, 'users'),
        rules: [
          { users: ['alice'], allow: [`${upstream.host}/**`] },
          { users: ['*'], allow: [`${upstream.host}/open/*`] },
        ],
        anonymous: [`${upstream.host}/free/*`],
        ...(name === 'distributed' ? { tokenKey: KEY } : {}),
      },
    });
    last = system.gateways.at(-1)!.url;
  });
  afterAll(async () => {
    await system?.stop();
    await upstream?.stop();
    rmSync(directory, { recursive: true });
  });

  const hold = (method: string, target: string, answer: RawAnswer): RawAnswer => {
    expect(check.problems(method, target, answer)).toEqual([]);
    // A17, A18
    const challenges = answer.headers.filter(([header]) => header.toLowerCase() === 'www-authenticate');
    expect([target, challenges.length]).toEqual([target, answer.status === 401 ? 1 : 0]);
    return answer;
  };
  const ask = async (target: string, headers: readonly string[] = [], method = 'GET', url = system.gateways[0]!.url) =>
    hold(method, target, await raw(url, target, { method, headers }));
  const errorOf = (answer: RawAnswer) => [answer.status, JSON.parse(answer.body.toString()).errors[0].code];
  const tokenFor = async (scope: string, ...headers: string[]): Promise<string> => {
    const answer = await ask(`/v2/token?service=ociregistry&${scope}`, headers);
    expect(answer.status).toBe(200);
    return JSON.parse(answer.body.toString()).token;
  };
  const challengeFor = (scope?: string, error?: string) =>
    `Bearer realm="${REALM}",service="ociregistry"${scope ? `,scope="${scope}"` : ''}${error ? `,error="${error}"` : ''}`;

  it('A5, A7, A11, A17: asks nobody in particular at /v2/, with one challenge and no scope', async () => {
    for (const target of ['/v2/', '/v2', '/v2/?ns=quay.io'])
      for (const method of ['GET', 'HEAD']) {
        const answer = await ask(target, [], method);
        expect([answer.status, answer.header('www-authenticate')]).toEqual([401, challengeFor()]);
      }
  });

  it('A6: takes name and password, and refuses wrong ones with a challenge', async () => {
    expect((await ask('/v2/', [alice])).body.toString()).toBe('{}');
    for (const wrong of [
      basic('alice', 'wrong'),
      basic('mallory', 'alices-secret-1'),
      basic('', 'x'),
      'Authorization: Basic %%%',
      'Authorization: Digest username="alice"',
    ]) {
      const answer = await ask('/v2/', [wrong]);
      expect([...errorOf(answer), answer.header('www-authenticate')]).toEqual([401, 'UNAUTHORIZED', challengeFor()]);
    }
  });

  it('A10, A20: challenges exactly, on every endpoint, with the name as it was asked for', async () => {
    upstream.requests.clear();
    const names = ['secret/app', `${upstream.host}/secret/app`];
    for (const repository of names)
      for (const target of targetsOf(repository, secret))
        for (const method of ['GET', 'HEAD']) {
          const answer = await ask(target, [], method);
          const expected = challengeFor(`repository:${repository}:pull`);
          expect([target, answer.status, answer.header('www-authenticate')]).toEqual([target, 401, expected]);
        }
    const catalog = await ask('/v2/_catalog');
    expect(catalog.header('www-authenticate')).toBe(challengeFor('registry:catalog:*'));
    const named = await ask(`/v2/secret/app/manifests/v1?ns=${upstream.host}`);
    expect(named.header('www-authenticate')).toBe(challengeFor('repository:secret/app:pull'));
    // A21: nor are they told which registries may be pulled from.
    expect((await ask('/v2/secret/app/manifests/v1?ns=unlisted.example')).status).toBe(401);
    expect(upstream.requests.length).toBe(0);
  });

  it('A12, A14, A15: gives tokens: small, of pulls alone, for several scopes', async () => {
    const scopes = ['repository:open/app:pull,push', `repository:${upstream.host}/open/app:pull`];
    const query = scopes.map((scope) => `scope=${encodeURIComponent(scope)}`).join('&');
    const answer = await ask(`/v2/token?service=ociregistry&${query}&scope=repository:a:push`, [alice]);
    const body = JSON.parse(answer.body.toString());
    expect(body.access_token).toBe(body.token);
    expect(body.expires_in).toBeGreaterThanOrEqual(60);
    expect(Math.abs(Date.parse(body.issued_at) - Date.now())).toBeLessThan(60_000);
    expect([answer.body.length < 16_384, body.token.length < 8192]).toEqual([true, true]);
    expect(JSON.parse(Buffer.from(body.token.split('.')[1], 'base64url').toString()).access).toEqual([
      { type: 'repository', name: 'open/app', actions: ['pull'] },
      { type: 'repository', name: `${upstream.host}/open/app`, actions: ['pull'] },
    ]);
    for (const [repository] of [['open/app'], [`${upstream.host}/open/app`]])
      for (const target of targetsOf(repository!, open)) {
        const status = (await ask(target, [bearer(body.token)])).status;
        expect([target, [200, 307].includes(status)]).toEqual([target, true]);
      }
    expect((await ask(`/v2/open/app/manifests/v1?ns=${upstream.host}`, [bearer(body.token)])).status).toBe(200);
    // It is for nothing else.
    const other = await ask('/v2/secret/app/manifests/v1', [bearer(body.token)]);
    expect(other.header('www-authenticate')).toBe(challengeFor('repository:secret/app:pull', 'insufficient_scope'));
    expect((await ask('/v2/', [bearer(body.token)])).status).toBe(200);
    expect((await ask('/v2/_catalog', [bearer(body.token)])).status).toBe(401);
    expect((await ask('/v2/token', [alice], 'HEAD')).status).toBe(200);
  });

  it('A12, A13: takes name and password in a form and in the query, and logs them nowhere', async () => {
    const post = async (form: Record<string, string>, ...headers: string[]) => {
      const body = new URLSearchParams(form).toString();
      const connection = await RawConnection.open(system.gateways[0]!.url);
      const type = 'Content-Type: application/x-www-form-urlencoded';
      const head = [
        'POST /v2/token HTTP/1.1',
        'Host: registry.test',
        type,
        `Content-Length: ${body.length}`,
        ...headers,
      ];
      connection.send(`${head.join('\r\n')}\r\n\r\n${body}`);
      const answer = await connection.answer();
      connection.close();
      return hold('POST', '/v2/token', answer);
    };
    const login = { grant_type: 'password', username: 'alice', password: 'alices-secret-1', service: 'ociregistry' };
    const given = JSON.parse(
      (await post({ ...login, scope: 'repository:secret/app:pull registry:catalog:*' })).body.toString(),
    );
    expect((await ask('/v2/secret/app/manifests/v1', [bearer(given.access_token)])).status).toBe(200);
    expect((await ask('/v2/_catalog', [bearer(given.access_token)])).status).toBe(200);
    expect(errorOf(await post({ ...login, password: 'alices-wrong-3' }))).toEqual([401, 'UNAUTHORIZED']);
    expect(errorOf(await post({ grant_type: 'refresh_token', refresh_token: 'x' }))).toEqual([400, 'UNSUPPORTED']);
    expect(errorOf(await post({ ...login, scope: 'x'.repeat(20_000) }))).toEqual([400, 'UNSUPPORTED']);

    const asked = (password: string, more = '') =>
      ask(`/v2/token?scope=repository:secret/app:pull&username=alice&pass%77ord=${password}${more}`);
    const token = JSON.parse((await asked('alices-secret-1')).body.toString()).token;
    expect((await ask('/v2/secret/app/manifests/v1', [bearer(token)])).status).toBe(200);
    expect((await asked('alices-wrong-4')).header('www-authenticate')).toBe('Basic realm="ociregistry"');
    expect((await ask('/v2/token', [], 'HEAD')).status).toBe(200);
    expect((await ask('/v2/token', [basic('alice', 'alices-wrong-5')], 'HEAD')).status).toBe(401);
    const gateway = system.gateways[0]!;
    await eventually(async () => expect(gateway.log).toMatch(/"url":"\/v2\/token","status":401/));
    const forms = [...Array(6).keys()].map((n) => new RegExp(`alices-(secret|wrong)-${n}`));
    for (const form of [...forms, token, given.access_token, alice.split(' ').at(-1)!])
      expect(gateway.log).not.toMatch(form);
  });

  it('A15: gives who has no name a token for what needs none', async () => {
    const token = await tokenFor('scope=repository:free/app:pull&scope=repository:open/app:pull');
    expect((await ask('/v2/', [bearer(token)])).status).toBe(200);
    expect((await ask('/v2/free/app/manifests/v1', [bearer(token)])).status).toBe(200);
    expect((await ask('/v2/free/app/manifests/v1')).status).toBe(200);
    expect((await ask(`/v2/free/app/blobs/${free.images[0]!.config.digest}`)).status).toBe(200);
    const more = await ask('/v2/open/app/manifests/v1', [bearer(token)]);
    expect(more.header('www-authenticate')).toBe(challengeFor('repository:open/app:pull', 'insufficient_scope'));
    // A wrong password is no way to less.
    expect((await ask('/v2/free/app/manifests/v1', [basic('alice', 'wrong')])).status).toBe(401);
  });

  it('A16: refuses expired and foreign tokens with a fresh challenge', async () => {
    const sign = (key: string, seconds: number) =>
      new SignJWT({ access: [{ type: 'repository', name: 'free/app', actions: ['pull'] }] })
        .setProtectedHeader({ alg: 'HS256' })
        .setIssuer('ociregistry')
        .setAudience('ociregistry')
        .setSubject('')
        .setExpirationTime(Math.floor(Date.now() / 1000) + seconds)
        .sign(createHash('sha256').update(key).digest());
    const good = await tokenFor('scope=repository:free/app:pull', alice);
    const bad = ['nonsense', await sign('another-key', 60), `${good.slice(0, -3)}AAA`];
    if (name === 'distributed') {
      expect((await ask('/v2/free/app/manifests/v1', [bearer(await sign(KEY, 60))])).status).toBe(200);
      bad.push(await sign(KEY, -1));
    }
    for (const token of bad) {
      const answer = await ask('/v2/free/app/manifests/v1', [bearer(token)]);
      expect([...errorOf(answer), answer.header('www-authenticate')]).toEqual([
        401,
        'UNAUTHORIZED',
        challengeFor('repository:free/app:pull', 'invalid_token'),
      ]);
    }
  });

  it('A19, A21, C36: what one user has pulled is denied to another, by every way, as if it were not here', async () => {
    const targets = targetsOf('secret/app', secret);
    const token = await tokenFor('scope=repository:secret/app:pull', bob);
    const inPath = targetsOf(`${upstream.host}/secret/app`, secret);
    const missing = ['/v2/secret/none/manifests/v1', `/v2/secret/none/blobs/${absent}`, '/v2/secret/none/tags/list'];
    const all = [...targets, ...inPath, ...targets.map((target) => `${target}?ns=${upstream.host}`), ...missing];
    const denied = async () => {
      upstream.requests.clear();
      const seen = new Set<string>();
      for (const target of all)
        for (const [method, headers] of [
          ['GET', [bob]],
          ['HEAD', [bob]],
          ['GET', [bob, 'Range: bytes=0-9']],
          ['GET', [bob, `If-None-Match: "${secret.root.digest}"`]],
          ...(target.includes('://') || target.startsWith(`/v2/${upstream.host}`) || target.includes('/none/')
            ? []
            : ([['GET', [bearer(token)]]] as const)),
        ] as const) {
          const answer = await ask(target, headers, method);
          expect([target, answer.status]).toEqual([target, 403]);
          if (method === 'GET') seen.add(answer.body.toString());
        }
      // Not a byte tells whether it is here.
      expect(seen.size).toBe(1);
      expect(JSON.parse([...seen][0]!).errors[0].code).toBe('DENIED');
      expect(upstream.requests.length).toBe(0);
    };
    await denied();
    // As often as makes it warm.
    for (let n = 0; n < 3; n++)
      for (const target of targets) expect([200, 307]).toContain((await ask(target, [alice])).status);
    await denied();
    for (const target of targets) expect((await ask(target)).status).toBe(401);
  });

  it('A106: lists what the caller may pull from', async () => {
    for (const target of ['/v2/secret/app', '/v2/open/app', '/v2/free/app'])
      expect((await ask(`${target}/manifests/v1`, [alice])).status).toBe(200);
    const listed = async (...headers: string[]) => {
      const found: string[] = [];
      for (let next: string | undefined = '/v2/_catalog?n=1'; next !== undefined; ) {
        const answer: RawAnswer = await ask(next, headers);
        found.push(...JSON.parse(answer.body.toString()).repositories);
        next = /^<([^>]+)>/.exec(answer.header('link') ?? '')?.[1];
      }
      return found;
    };
    await eventually(async () => expect(await listed(alice)).toEqual(['free/app', 'open/app', 'secret/app']));
    expect(await listed(bob)).toEqual(['free/app', 'open/app']);
    expect(await listed(bearer(await tokenFor('scope=registry:catalog:*')))).toEqual(['free/app']);
    expect((await ask('/v2/_catalog', [], 'HEAD')).status).toBe(401);
    expect((await ask(`/v2/_catalog?ns=${upstream.host}`, [bob])).body.toString()).toBe(
      JSON.stringify({ repositories: ['free/app', 'open/app'] }),
    );
  });

  it('a token of one gateway is good at every other, and after a restart', async () => {
    const token = await tokenFor('scope=repository:secret/app:pull', alice);
    expect((await ask('/v2/secret/app/manifests/v1', [bearer(token)], 'GET', last)).status).toBe(200);
    await system.gateways[0]!.restart();
    expect((await ask('/v2/secret/app/manifests/v1', [bearer(token)])).status).toBe(200);
  });

  it('A9: never sends on what clients say of themselves', async () => {
    upstream.requests.clear();
    upstream.addImage({ repository: 'secret/cold', tag: 'v1', seed: 9 });
    expect((await ask('/v2/secret/cold/manifests/v1', [alice])).status).toBe(200);
    expect(upstream.requests.length).toBeGreaterThan(0);
    for (const { headers } of upstream.requests) expect(headers.authorization).toBeUndefined();
  });

  // Needs an object store, so there is one stack that can do it.
  if (name === 'distributed')
    it('A90: is asked before a client is sent to the store', async () => {
      const target = `/v2/secret/app/blobs/${secret.images[0]!.layers[0]!.digest}`;
      await eventually(async () => expect((await ask(target, [alice])).status).toBe(307));
      expect([(await ask(target)).status, (await ask(target, [bob])).status]).toEqual([401, 403]);
    });

  it('A114: write verbs are refused for everybody', async () => {
    for (const headers of [[], [alice]])
      expect(errorOf(await ask('/v2/secret/app/blobs/uploads/', headers, 'POST'))).toEqual([405, 'UNSUPPORTED']);
  });

  it('asks nobody on the admin port but for the pull API', async () => {
    const { admin } = system.gateways[0]!;
    for (const path of ['/health/live', '/metrics', '/api/v1/stats'])
      expect([path, (await fetch(admin + path)).status]).toEqual([path, 200]);
    const answer = await fetch(`${admin}/v2/`);
    expect([answer.status, answer.headers.get('www-authenticate')]).toEqual([
      401,
      `Bearer realm="${admin}/v2/token",service="ociregistry"`,
    ]);
    expect((await fetch(`${admin}/api/v1/config`).then((response) => response.text())).includes(KEY)).toBe(false);
  });

  it('follows the file of users: a password, and the tokens it got, end with it', async () => {
    const token = await tokenFor('scope=repository:open/app:pull', bob);
    users(['alice', 'alices-secret-1'], ['bob', 'bobs-new-secret']);
    await eventually(async () => expect((await ask('/v2/', [basic('bob', 'bobs-new-secret')])).status).toBe(200));
    expect((await ask('/v2/', [bob])).status).toBe(401);
    const answer = await ask('/v2/open/app/manifests/v1', [bearer(token)]);
    expect(answer.header('www-authenticate')).toBe(challengeFor('repository:open/app:pull', 'invalid_token'));
    expect((await ask('/v2/', [alice])).status).toBe(200);
  });

  // Last: by now every answer that the document describes must have been seen.
  it('docs/api/registry.yaml says all of this', () => expect(check.unseen('clientAuth')).toEqual([]));
});
