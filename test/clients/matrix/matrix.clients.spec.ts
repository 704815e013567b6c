import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Installation, install, type StackName, stacks } from '../../support/servers.js';
import { startDockerRegistry } from '../../support/services/index.js';
import { programPath } from '../../support/services/local.js';
import { type ForwardingProxy, makeIndex, startForwardingProxy } from '../../support/upstream/index.js';
import { pushIndex } from '../push.js';
import { PLATFORMS, type Session } from './client.js';
import { CLIENTS, DOCUMENT, documentOf, versionOf } from './document.js';

jest.setTimeout(600_000);

const IN_PATH = 'registry.test';
const LAYERS = [50_000, 3 * 2 ** 20];

const outcomes: Record<StackName, Map<number, string>> = { standalone: new Map(), distributed: new Map() };
const versions = new Map<number, string>();

describe.each(stacks())('every client on the %s stack', (stack) => {
  let upstream: Awaited<ReturnType<typeof startDockerRegistry>>;
  let proxy: ForwardingProxy;
  let system: Installation;
  let directory: string;
  let gateways: string[];
  const sessions = new Map<number, Session>();

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'ociregistry-clients-'));
    upstream = await startDockerRegistry();
    // No image reference can name a loopback port as its host: names without one lead to the upstream, the one by a proxy
    // that knows it and the other by a mirror.
    proxy = await startForwardingProxy({ [IN_PATH]: `127.0.0.1:${upstream.port}` });
    // However slow the machine, no tag or list is asked for anew while the upstream is stopped.
    system = await install(stack, [], {
      registries: [
        { name: `127.0.0.1:${upstream.port}`, scheme: 'http' },
        { name: IN_PATH, scheme: 'http', proxy: proxy.url },
        { name: 'docker.io', mirrors: [{ url: upstream.url, resolve: true }] },
      ],
      tags: { fresh: '1d' },
    });
    gateways = system.gateways.map(({ url }) => new URL(url).host);
  });
  afterAll(async () => {
    for (const session of sessions.values()) await session.close?.();
    await system?.stop();
    await proxy?.stop();
    await upstream?.stop();
    await rm(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
  });

  const all = CLIENTS.map((client, n) => [`${client.name} (${client.addressing})`, n] as const);

  it.each(all)('%s pulls what nobody has pulled before', async (_, n) => {
    const client = CLIENTS[n]!;
    outcomes[stack].set(n, 'failed cold');
    const program = await programPath(client.program);
    versions.set(n, await versionOf(client, program));
    const repository = `team/client-${n}`;
    const index = makeIndex({ platforms: PLATFORMS, layers: LAYERS, seed: 100 + n });
    await pushIndex(upstream.url, repository, 'v1', index);
    const own = await mkdtemp(join(directory, 'client-'));
    const host = `127.0.0.1:${upstream.port}`;
    const session = await client.open({ upstream: host, inPath: IN_PATH, repository, index, directory: own, program });
    sessions.set(n, session);
    await session.pull(gateways[0]!);
    const { log } = system.gateways[0]!;
    const pieces = log.split('\n').filter((line) => line.includes(`${repository}"`) && line.includes('"status":206'));
    if (client.pieces) expect(pieces.length).toBeGreaterThan(1);
    outcomes[stack].set(n, 'failed without the upstream');
  });

  describe('while the upstream is stopped', () => {
    beforeAll(() => upstream.kill());

    it.each(all)('%s pulls it again through every gateway', async (_, n) => {
      const session = sessions.get(n);
      if (!session) throw new Error('its first pull failed');
      for (const gateway of gateways) await session.pull(gateway);
      outcomes[stack].set(n, 'passed');
    });
  });
});

afterAll(async () => {
  if (stacks().length < 2) return;
  const rows = CLIENTS.map(({ name, addressing }, n) => ({
    client: name,
    version: versions.get(n) ?? 'unknown',
    addressing,
    standalone: outcomes.standalone.get(n) ?? 'not run',
    distributed: outcomes.distributed.get(n) ?? 'not run',
  }));
  await writeFile(DOCUMENT, documentOf(rows));
});
