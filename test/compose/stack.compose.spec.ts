import { execFile, execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { digestOfBody, get } from '../support/client.js';
import { eventually } from '../support/eventually.js';
import { freePort } from '../support/services/index.js';

/** The image is built, and base images are fetched where they are not there. */
jest.setTimeout(1_200_000);

const ROOT = join(__dirname, '../..');
const PROJECT = 'ociregistry-test';

/** `docker-compose.yml` as it is, with a registry beside it that is stopped half-way. */
describe('docker compose', () => {
  let env: NodeJS.ProcessEnv;
  let registry: string;
  let admin: string;

  const compose = async (...args: string[]) => {
    const files = ['-f', 'docker-compose.yml', '-f', 'test/compose/upstream.yml'];
    const options = { cwd: ROOT, env, maxBuffer: 64 << 20 };
    return (await promisify(execFile)('docker', ['compose', '-p', PROJECT, ...files, ...args], options)).stdout;
  };
  /** Lines of JSON, or one list of older versions. */
  const containers = async (): Promise<{ Service: string; Health: string }[]> =>
    (await compose('ps', '--format', 'json'))
      .split('\n')
      .filter(Boolean)
      .flatMap((line) => JSON.parse(line));
  const healthy = (services: Record<string, number>) =>
    eventually(async () => {
      const seen = (await containers()).filter(({ Health }) => Health === 'healthy').map(({ Service }) => Service);
      const counts = Object.fromEntries(
        Object.keys(services).map((s) => [s, seen.filter((name) => name === s).length]),
      );
      expect(counts).toEqual(services);
    }, 180_000);
  /** All of it, by digest. */
  async function pull(tag: string): Promise<void> {
    const at = (rest: string) => get(`${registry}/v2/registry.test/demo/app/${rest}`);
    const manifest = await at(`manifests/${tag}`);
    expect([tag, manifest.status]).toEqual([tag, 200]);
    const { config, layers } = JSON.parse(manifest.body.toString());
    for (const { digest } of [config, ...layers]) expect(digestOfBody((await at(`blobs/${digest}`)).body)).toBe(digest);
  }

  beforeAll(async () => {
    execFileSync('docker', ['compose', 'version']);
    const [port, adminPort] = [await freePort(), await freePort()];
    env = {
      ...process.env,
      REGISTRY_PORT: String(port),
      ADMIN_PORT: String(adminPort),
      OCIREGISTRY_REGISTRIES: '[{"name":"registry.test","scheme":"http"}]',
    };
    [registry, admin] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${adminPort}`];
    await compose('up', '--build', '--detach');
  });
  afterAll(async () => {
    await compose('down', '--volumes', '--timeout', '20');
  });

  it('is healthy, and as an unprivileged user', async () => {
    const parts = { balancer: 1, gateway: 1, puller: 1, admin: 1, postgres: 1, nats: 1, minio: 1 };
    await healthy(parts);
    expect((await get(`${admin}/health/ready`)).status).toBe(200);
    expect((await compose('exec', '-T', 'gateway', 'id', '-u')).trim()).toBe('1000');
  });

  it('pulls, and more gateways and pullers come in while it runs', async () => {
    await pull('v1');
    await compose('up', '--detach', '--scale', 'gateway=2', '--scale', 'puller=3');
    await healthy({ balancer: 1, gateway: 2, puller: 3, admin: 1 });
    await pull('v2');
  });

  it('needs the registry no more for what it has, through any gateway, and after a restart of everything', async () => {
    await compose('stop', 'upstream');
    for (let i = 0; i < 6; i++) for (const tag of ['v1', 'v2']) await pull(tag);
    // Unknown by name, or an address where nobody answers any more.
    const none = await get(`${registry}/v2/registry.test/demo/none/manifests/v1`);
    expect([502, 504]).toContain(none.status);
    await compose('restart', 'gateway', 'puller', 'admin', 'postgres', 'nats', 'minio', 'balancer');
    await healthy({ balancer: 1, gateway: 2, puller: 3, admin: 1, postgres: 1, nats: 1, minio: 1 });
    for (const tag of ['v1', 'v2']) await pull(tag);
  });
});
