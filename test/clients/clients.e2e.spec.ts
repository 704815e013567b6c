import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestOfBody, get } from '../support/client.js';
import { type Installation, install, stacks } from '../support/servers.js';
import { startDockerRegistry } from '../support/services/index.js';
import { programPath } from '../support/services/local.js';
import { type MadeIndex, makeIndex } from '../support/upstream/index.js';
import { Containerd } from './containerd.js';
import { run } from './programs.js';
import { pushIndex } from './push.js';

jest.setTimeout(240_000);

const PLATFORMS = ['linux/amd64', 'linux/arm64'];
const IN_PATH = 'registry.test';
const LAYERS = [200_000, 3 * 2 ** 20];

// Every client has an image of its own, so that each one's first pull is cold.
describe.each(stacks())('clients on the %s stack', (name) => {
  let programs: Record<'crane' | 'skopeo' | 'oras' | 'containerd', string>;
  let upstream: Awaited<ReturnType<typeof startDockerRegistry>>;
  let system: Installation;
  let named: string;
  let gateways: string[];

  beforeAll(async () => {
    programs = {
      crane: await programPath('crane'),
      skopeo: await programPath('skopeo'),
      oras: await programPath('oras'),
      containerd: await programPath('containerd'),
    };
    upstream = await startDockerRegistry();
    // One registry under several names. What names no upstream goes to one of them, what containerd names in `ns` to
    // another.
    named = `127.0.0.1:${upstream.port}`;
    const unnamed = `localhost:${upstream.port}`;
    // However slow the machine, no tag is asked for anew while the upstream is stopped.
    system = await install(name, [], {
      registries: [
        { name: named, scheme: 'http' },
        { name: unnamed, scheme: 'http' },
        // A name as public registries have it, without a port, so that clients can write it inside a path.
        { name: IN_PATH, mirrors: [{ url: upstream.url, resolve: true }] },
      ],
      defaultNs: unnamed,
      tags: { fresh: '1h' },
    });
    gateways = system.gateways.map(({ url }) => new URL(url).host);
  });
  afterAll(async () => {
    await system?.stop();
    await upstream?.stop();
  });

  async function push(repository: string, seed: number): Promise<MadeIndex> {
    const index = makeIndex({ platforms: PLATFORMS, layers: LAYERS, seed });
    await pushIndex(upstream.url, repository, 'v1', index);
    return index;
  }

  async function withoutUpstream(action: () => Promise<void>): Promise<void> {
    await upstream.kill();
    try {
      await expect(fetch(upstream.url)).rejects.toThrow();
      await action();
    } finally {
      await upstream.restart();
    }
  }

  it('crane validates an index and each platform: cold, without the upstream, and after a restart', async () => {
    const index = await push('team/crane', 1);
    const validate = async (gateway: string) => {
      const reference = `${gateway}/team/crane:v1`;
      expect((await run(programs.crane, 'digest', '--insecure', reference)).trim()).toBe(index.digest);
      // Without a platform crane validates the index with all that it holds.
      await run(programs.crane, 'validate', '--insecure', '--remote', reference);
      for (const { platform, digest } of index.images) {
        const only = ['--insecure', '--platform', platform];
        expect((await run(programs.crane, 'digest', ...only, reference)).trim()).toBe(digest);
        await run(programs.crane, 'validate', ...only, '--remote', reference);
      }
    };
    await validate(gateways[0]!);
    await withoutUpstream(async () => {
      for (const gateway of gateways) await validate(gateway);
      await system.restartAll();
      for (const gateway of gateways) await validate(gateway);
    });
  });

  it('skopeo copies every platform with the same digests: cold, without the upstream, and after a restart', async () => {
    const index = await push('team/skopeo', 2);
    const copy = (gateway: string) =>
      isCopied(index, (directory) => {
        const options = ['--insecure-policy', 'copy', '--all', '--preserve-digests', '--src-tls-verify=false'];
        return run(programs.skopeo, ...options, `docker://${gateway}/team/skopeo:v1`, `oci:${directory}:v1`);
      });
    await copy(gateways[0]!);
    await withoutUpstream(async () => {
      for (const gateway of gateways) await copy(gateway);
      await system.restartAll();
      for (const gateway of gateways) await copy(gateway);
    });
  });

  it('oras copies an index with all that it holds: cold, and without the upstream', async () => {
    const index = await push('team/oras', 5);
    const copy = (gateway: string) =>
      isCopied(index, (directory) => {
        const from = ['--from-plain-http', `${gateway}/team/oras:v1`];
        return run(programs.oras, 'cp', '--no-tty', ...from, '--to-oci-layout', `${directory}:v1`);
      });
    await copy(gateways[0]!);
    await withoutUpstream(async () => {
      for (const gateway of gateways) await copy(gateway);
    });
  });

  it('crane and skopeo pull with the upstream inside the path: cold, and without the upstream', async () => {
    const index = await push('team/in-path', 4);
    const pull = async (gateway: string) => {
      const reference = `${gateway}/${IN_PATH}/team/in-path:v1`;
      await run(programs.crane, 'validate', '--insecure', '--remote', reference);
      const inspect = ['inspect', '--raw', '--tls-verify=false', `docker://${reference}`];
      expect(digestOfBody(Buffer.from(await run(programs.skopeo, ...inspect)))).toBe(index.digest);
    };
    await pull(gateways[0]!);
    await withoutUpstream(async () => {
      for (const gateway of gateways) await pull(gateway);
    });
  });

  it('containerd pulls and unpacks one platform through a mirror: cold, without the upstream, and after a restart', async () => {
    const index = await push('team/containerd', 3);
    const reference = `${named}/team/containerd:v1`;
    const [platform] = PLATFORMS as [string];
    const containerd = await Containerd.start(programs.containerd);
    const pull = async (gateway: string) => {
      await containerd.mirror(named, `http://${gateway}`);
      expect(await containerd.content()).toEqual([]);
      await containerd.pull(reference, platform);
      expect(await containerd.digestOf(reference)).toBe(index.digest);
      expect(await containerd.content()).toEqual(digestsOf(index, [platform]));
      await containerd.remove(reference);
    };
    try {
      await pull(gateways[0]!);
      // Had the first pull fallen back to the upstream, nothing could answer now.
      await withoutUpstream(async () => {
        for (const gateway of gateways) await pull(gateway);
        await system.restartAll();
        for (const gateway of gateways) await pull(gateway);
        // It is cached under the name in `ns` only: the default did not stand in for a lost `ns`.
        const manifest = 'team/containerd/manifests/v1';
        const byName = await get(`http://${gateways[0]}/v2/${named}/${manifest}`);
        expect([byName.status, digestOfBody(byName.body)]).toEqual([200, index.digest]);
        expect((await get(`http://${gateways[0]}/v2/${manifest}`)).status).toBe(502);
      });
    } finally {
      await containerd.stop();
    }
  });
});

/** What a client writes into an OCI layout is the whole index, byte for byte. */
async function isCopied(index: MadeIndex, copy: (directory: string) => Promise<unknown>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'ociregistry-copy-'));
  try {
    await copy(directory);
    const layout = JSON.parse(await readFile(join(directory, 'index.json'), 'utf8'));
    // oras names the children there too.
    const { digest, size, mediaType } = index;
    expect(layout.manifests).toContainEqual(expect.objectContaining({ digest, size, mediaType }));
    const blobs = join(directory, 'blobs/sha256');
    const stored = await readdir(blobs);
    expect(stored.map((hex) => `sha256:${hex}`).sort()).toEqual(digestsOf(index, PLATFORMS));
    for (const hex of stored) expect(digestOfBody(await readFile(join(blobs, hex)))).toBe(`sha256:${hex}`);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Of the index and of the platforms' manifests, configs and layers; sorted. */
function digestsOf(index: MadeIndex, platforms: readonly string[]): string[] {
  const images = index.images.filter(({ platform }) => platforms.includes(platform));
  const parts = images.flatMap((image) => [image, image.config, ...image.layers]);
  return [index, ...parts].map(({ digest }) => digest).sort();
}
