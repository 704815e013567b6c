import { chmodSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pushIndex } from '../clients/push.js';
import { digestOfBody, get } from '../support/client.js';
import { eventually } from '../support/eventually.js';
import { ServerProcess } from '../support/servers.js';
import { startDockerRegistry, startTokenRegistry } from '../support/services/index.js';
import { type MadeIndex, makeIndex } from '../support/upstream/index.js';

jest.setTimeout(300_000);

const index = (seed: number) =>
  makeIndex({ platforms: ['linux/amd64', 'linux/arm64'], layers: [3000, 2_500_000], seed });

describe('real registries as upstreams', () => {
  let directory: string;
  let server: ServerProcess | undefined;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'ociregistry-real-'));
    chmodSync(directory, 0o755);
  });
  afterEach(async () => {
    await server?.stop();
    server = undefined;
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  const start = async (name: string, registry: object) => {
    const dataDir = join(directory, name);
    server = await ServerProcess.start('all', { registries: [registry], logLevel: 'trace', dataDir }, directory);
  };
  const at = (path: string) => get(`${server!.url}/v2/${path}`);
  const pullAll = async (host: string, repository: string, made: MadeIndex) => {
    const root = await at(`${host}/${repository}/manifests/v1`);
    expect([root.status, digestOfBody(root.body)]).toEqual([200, made.digest]);
    for (const image of made.images) {
      expect(digestOfBody((await at(`${host}/${repository}/manifests/${image.digest}`)).body)).toBe(image.digest);
      for (const { digest } of [image.config, ...image.layers])
        expect(digestOfBody((await at(`${host}/${repository}/blobs/${digest}`)).body)).toBe(digest);
    }
  };
  /** What must stand nowhere. */
  const expectSecret = (...secrets: string[]) => {
    for (const secret of secrets) {
      expect(server!.log.includes(secret)).toBe(false);
      expect(server!.log.includes(Buffer.from(secret).toString('base64').replace(/=+$/, ''))).toBe(false);
    }
    expect(server!.log.length).toBeGreaterThan(1000);
  };

  it('docker-registry with htpasswd over TLS with an authority of its own; its password file is replaced meanwhile', async () => {
    const registry = await startDockerRegistry({ htpasswd: true, tls: true });
    try {
      const { user, password } = registry.credentials!;
      const made = index(1);
      const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
      await pushIndex(registry.url, 'team/app', 'v1', made, { ca: registry.ca, authorization });
      const [ca, secret] = [join(directory, 'ca.pem'), join(directory, 'password')];
      writeFileSync(ca, registry.ca!);
      writeFileSync(secret, 'not-yet-the-right-one\n');
      const host = new URL(registry.url).host;
      await start('htpasswd', { name: host, auth: { user, passwordFromFile: secret }, tls: { ca } });
      expect((await at(`${host}/team/app/manifests/v1`)).status).toBe(403);
      writeFileSync(`${secret}.new`, `${password}\n`);
      renameSync(`${secret}.new`, secret);
      await eventually(async () => expect((await at(`${host}/team/app/manifests/v1`)).status).toBe(200));
      await pullAll(host, 'team/app', made);
      await registry.kill();
      await pullAll(host, 'team/app', made);
      expectSecret(password, 'not-yet-the-right-one', `${user}:${password}`);
    } finally {
      await registry.stop();
    }
  });

  it('distribution 3 with a token service: public repositories for everybody, private ones with credentials', async () => {
    const registry = await startTokenRegistry();
    try {
      const { endpoint: host, credentials } = registry;
      const [open, closed] = [index(2), index(3)];
      for (const [name, made] of [['public/app', open] as const, ['team/app', closed] as const])
        await pushIndex(registry.url, name, 'v1', made, { authorization: `Bearer ${registry.pushToken(name)}` });
      await start('anonymous', { name: host, scheme: 'http' });
      await pullAll(host, 'public/app', open);
      expect((await at(`${host}/team/app/manifests/v1`)).status).toBe(403);
      expect(registry.asked.filter(({ user }) => user !== undefined)).toEqual([]);
      // One token for a repository, whatever is pulled from it.
      const scopes = registry.asked.flatMap((one) => one.scopes);
      expect(scopes.filter((scope) => scope === 'repository:public/app:pull').length).toBe(1);
      await server!.stop();
      const { user, password } = credentials;
      await start('token', { name: host, scheme: 'http', auth: { user, password } });
      await pullAll(host, 'team/app', closed);
      await registry.kill();
      await pullAll(host, 'team/app', closed);
      expectSecret(password, `${user}:${password}`);
      expect(server!.log).not.toMatch(/eyJ[\w-]+\.eyJ/);
    } finally {
      await registry.stop();
    }
  });
});
