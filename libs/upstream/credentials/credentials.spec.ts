import { chmodSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { type FakeUpstream, startFakeUpstream } from '../../../test/support/upstream/index.js';
import { createUpstream, type UpstreamOptions } from '../adapters.js';
import type { Upstream } from '../port.js';
import { regionOf } from './ecr.js';

const BASIC = { scheme: 'basic', user: 'u', password: 'one' } as const;

describe('credentials', () => {
  let directory: string;
  let fake: FakeUpstream;
  let upstream: Upstream | undefined;
  let now: number;
  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'ociregistry-credentials-'));
    fake = await startFakeUpstream();
    fake.addImage({ repository: 'a/b' });
    now = Date.now();
    jest.spyOn(Date, 'now').mockImplementation(() => now);
  });
  afterEach(async () => {
    jest.restoreAllMocks();
    await upstream?.close();
    await fake.stop();
    rmSync(directory, { recursive: true, force: true });
    upstream = undefined;
  });
  const open = (options: UpstreamOptions) => {
    upstream = createUpstream(options);
    return upstream;
  };
  const get = () => upstream!.getManifest({ upstream: fake.host, path: 'a/b' }, 'latest');
  const shown = () => [...fake.requests].map(({ headers }) => headers.authorization).filter(Boolean);
  const file = (name: string, content: string | object) => {
    const path = join(directory, name);
    // Replaced as a whole, as `docker login` and Kubernetes do it.
    writeFileSync(`${path}.new`, typeof content === 'string' ? content : JSON.stringify(content));
    renameSync(`${path}.new`, path);
    return path;
  };

  describe('a password from a file', () => {
    const start = (path: string) =>
      open({ registries: [{ name: fake.host, scheme: 'http', auth: { user: 'u', passwordFile: path } }] });

    it.each([['basic', BASIC] as const, ['bearer', { ...BASIC, scheme: 'bearer' }] as const])(
      'is read again when it changes, or when it is refused, for %s',
      async (_, auth) => {
        fake.auth = auth;
        start(file('password', 'one\n'));
        await get();
        fake.auth = { ...auth, password: 'two' };
        fake.tokens.revokeAll();
        file('password', 'two\n');
        await get();
        fake.auth = { ...auth, password: 'three' };
        fake.tokens.revokeAll();
        await expect(get()).rejects.toMatchObject({ reason: 'DENIED' });
      },
    );

    it('holds its last word while it is missing or empty', async () => {
      fake.auth = BASIC;
      const path = file('password', 'one');
      start(path);
      await get();
      file('password', '');
      now += 5_000;
      await get();
      rmSync(path);
      now += 5_000;
      await get();
    });
  });

  describe('a docker config.json', () => {
    const start = (config: object) =>
      open({ registries: [{ name: fake.host, scheme: 'http' }], dockerConfig: file('config.json', config) });
    const auth = Buffer.from('u:one').toString('base64');

    it.each([
      ['by host', () => ({ auths: { [fake.host]: { auth } } })],
      ['by URL', () => ({ auths: { [`http://${fake.host}/v1/`]: { auth } } })],
      ['in two fields', () => ({ auths: { [fake.host]: { username: 'u', password: 'one' } } })],
    ])('has user and password %s', async (_, config) => {
      fake.auth = BASIC;
      start(config());
      await get();
    });

    it('is read again when it changes', async () => {
      fake.auth = BASIC;
      start({});
      await expect(get()).rejects.toMatchObject({ reason: 'DENIED' });
      file('config.json', { auths: { [fake.host]: { auth } } });
      now += 5_000;
      await get();
    });

    it('has identity tokens, which buy tokens by POST and stand in no URL', async () => {
      fake.auth = { scheme: 'bearer', identityToken: 'refresh-me', allows: (user) => user === 'identity' };
      start({
        auths: { [fake.host]: { auth: Buffer.from('00000000-0000:').toString('base64'), identitytoken: 'refresh-me' } },
      });
      await get();
      const [bought] = fake.requests.filter({ path: /token/ });
      expect([bought?.method, bought?.query.toString()]).toEqual(['POST', '']);
    });

    it('has registry tokens', async () => {
      fake.auth = { scheme: 'bearer' };
      const token = fake.tokens.issue('u', ['repository:a/b:pull'], 60);
      start({ auths: { [fake.host]: { registrytoken: token } } });
      await get();
      expect(fake.requests.length).toBe(1);
    });

    it('lets what is configured go first', async () => {
      fake.auth = BASIC;
      const dockerConfig = file('config.json', { auths: { [fake.host]: { username: 'u', password: 'wrong' } } });
      open({ registries: [{ name: fake.host, scheme: 'http', auth: { user: 'u', password: 'one' } }], dockerConfig });
      await get();
    });

    describe('with credential helpers', () => {
      const { PATH } = process.env;
      const helper = (name: string, script: string) => {
        const path = file(
          `docker-credential-${name}`,
          `#!/bin/sh\nread server\necho "$1 $server" >> ${directory}/asked\n${script}\n`,
        );
        chmodSync(path, 0o755);
      };
      const answer = (user: string, secret: string) => `echo '${JSON.stringify({ Username: user, Secret: secret })}'`;
      const asked = () => readFileSync(join(directory, 'asked'), 'utf8');
      beforeEach(() => {
        process.env.PATH = `${directory}${delimiter}${PATH}`;
      });
      afterEach(() => {
        process.env.PATH = PATH;
      });

      it('asks the one of the host, once for many pulls', async () => {
        fake.auth = BASIC;
        helper('mine', answer('u', 'one'));
        helper('store', answer('u', 'wrong'));
        start({ credHelpers: { [fake.host]: 'mine' }, credsStore: 'store' });
        await Promise.all([get(), get(), get()]);
        expect(asked()).toBe(`get ${fake.host}\n`);
      });

      it('asks the store, and takes its identity tokens', async () => {
        fake.auth = { scheme: 'bearer', identityToken: 'refresh-me', allows: (user) => user === 'identity' };
        helper('store', answer('<token>', 'refresh-me'));
        start({ credsStore: 'store' });
        await get();
      });

      it('goes on with the file when a helper knows nothing', async () => {
        fake.auth = BASIC;
        helper('store', 'echo credentials not found in native keychain; exit 1');
        start({ credsStore: 'store', auths: { [fake.host]: { auth } } });
        await get();
      });

      it('asks again when what it gave is refused', async () => {
        fake.auth = BASIC;
        helper('mine', answer('u', 'one'));
        start({ credHelpers: { [fake.host]: 'mine' } });
        await get();
        fake.auth = { ...BASIC, password: 'two' };
        helper('mine', answer('u', 'two'));
        now += 11_000;
        await get();
      });

      it.each([
        ['is missing', undefined],
        ['fails', 'echo top-secret; exit 3'],
        ['says nonsense', 'echo top-secret'],
      ])('says so, without what it printed, when one %s', async (_, script) => {
        fake.auth = BASIC;
        if (script) helper('mine', script);
        start({ credHelpers: { [fake.host]: 'mine' } });
        const failure = await get().catch((error) => error);
        expect(failure).toMatchObject({
          reason: 'DENIED',
          message: 'no credentials for the upstream registry: the credential helper mine failed',
        });
        expect(JSON.stringify([failure, String(failure.cause)])).not.toContain('top-secret');
        expect(fake.requests.length).toBe(0);
      });
    });
  });

  describe('B10: Amazon ECR', () => {
    let aws: Server;
    let asked: IncomingMessage[];
    let tokens: string[];
    let expiresIn: number;
    const names = ['AWS_ENDPOINT_URL_ECR', 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_REGION'];
    const before = names.map((name) => process.env[name]);
    beforeEach(async () => {
      asked = [];
      tokens = ['one', 'two'];
      expiresIn = 12 * 3600;
      aws = createServer((req, res) => {
        asked.push(req);
        const password = tokens[Math.min(asked.length, tokens.length) - 1];
        const authorizationToken = Buffer.from(`AWS:${password}`).toString('base64');
        const expiresAt = now / 1000 + expiresIn;
        res.writeHead(password ? 200 : 400, { 'content-type': 'application/x-amz-json-1.1' });
        res.end(JSON.stringify({ authorizationData: [{ authorizationToken, expiresAt, proxyEndpoint: 'https://x' }] }));
      });
      await new Promise<void>((resolve) => aws.listen(0, '127.0.0.1', resolve));
      const url = `http://127.0.0.1:${(aws.address() as AddressInfo).port}`;
      const values = [url, 'AKIDEXAMPLE', 'secret', 'us-east-1'];
      for (const [i, name] of names.entries()) process.env[name] = values[i];
      fake.auth = { scheme: 'basic', user: 'AWS', password: 'one' };
      open({ registries: [{ name: fake.host, scheme: 'http', auth: { ecr: { region: 'eu-west-1' } } }] });
    });
    afterEach(async () => {
      for (const [i, name] of names.entries()) {
        if (before[i] === undefined) delete process.env[name];
        else process.env[name] = before[i];
      }
      aws.closeAllConnections();
      await new Promise((resolve) => aws.close(resolve));
    });

    it('gets one token for all, in the region it is told', async () => {
      await Promise.all([get(), get(), get()]);
      expect(asked.length).toBe(1);
      expect(asked[0]?.headers).toMatchObject({
        'x-amz-target': 'AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken',
        authorization: expect.stringContaining('/eu-west-1/ecr/aws4_request'),
      });
      expect(new Set(shown())).toEqual(new Set([`Basic ${Buffer.from('AWS:one').toString('base64')}`]));
    });

    it('renews it early, while the old one serves', async () => {
      await get();
      now += 9.5 * 3600_000;
      fake.auth = { scheme: 'anonymous' };
      await get();
      await new Promise<void>((resolve) => {
        const look = () => (asked.length === 2 ? resolve() : setTimeout(look, 5));
        look();
      });
    });

    it('tells when it has none', async () => {
      tokens = [''];
      await expect(get()).rejects.toMatchObject({
        reason: 'DENIED',
        message: 'no credentials for the upstream registry: Amazon ECR gave no token',
      });
    });

    it.each([
      ['123456789012.dkr.ecr.eu-central-1.amazonaws.com', 'eu-central-1'],
      ['123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com', 'us-gov-west-1'],
      ['123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn', 'cn-north-1'],
      ['123456789012.dkr-ecr.us-west-2.on.aws', 'us-west-2'],
      ['public.ecr.aws', undefined],
    ])('reads the region of %s', (host, region) => expect(regionOf(host)).toBe(region));
  });
});
