import { join } from 'node:path';
import { stacks } from '../support/servers.js';
import { programPath } from '../support/services/local.js';
import type { AddedImage } from '../support/upstream/index.js';
import { Containerd } from './containerd.js';
import { ALICE, AskingRegistry, BOB } from './logins.js';
import { run } from './programs.js';

jest.setTimeout(240_000);

const WRONG = { ...ALICE, password: 'wrong' };

/** Each has an image of its own below `secret/` and `open/`, logs in as real people do, and reads both through every gateway. */
describe.each(stacks())('clients that log in on the %s stack', (name) => {
  let programs: Record<'crane' | 'skopeo' | 'oras' | 'containerd', string>;
  let registry: AskingRegistry;
  const place = (file: string) => join(registry.directory, file);

  beforeAll(async () => {
    programs = {
      crane: await programPath('crane'),
      skopeo: await programPath('skopeo'),
      oras: await programPath('oras'),
      containerd: await programPath('containerd'),
    };
    registry = await AskingRegistry.start(name);
  });
  afterAll(() => registry?.stop());

  /** `pull` logs in with what it is given; both users and those without a right try it, before and after it is cached. */
  async function everybody(
    client: string,
    pull: (gateway: string, repository: string, login?: typeof ALICE) => Promise<unknown>,
  ): Promise<AddedImage> {
    const [secret, open] = [`secret/${client}`, `open/${client}`];
    const image = registry.addImage(secret, 1);
    registry.addImage(open, 2);
    const refused = async () => {
      for (const [repository, login] of [
        [secret, undefined],
        [secret, WRONG],
        [secret, BOB],
        [open, undefined],
      ] as const)
        await expect(pull(registry.gateways[0]!, repository, login)).rejects.toThrow(
          /unauthorized|denied|401|403|authentication required|invalid username/i,
        );
    };
    registry.upstream.requests.clear();
    await refused();
    expect(registry.upstream.requests.length).toBe(0);
    for (const gateway of registry.gateways) {
      await pull(gateway, secret, ALICE);
      await pull(gateway, open, BOB);
    }
    await refused();
    return image;
  }

  it('crane', async () => {
    let n = 0;
    await everybody('crane', async (gateway, repository, login) => {
      const env = ['/usr/bin/env', `DOCKER_CONFIG=${place(`crane-${n++}`)}`, programs.crane] as const;
      if (login) await run(...env, 'auth', 'login', gateway, '-u', login.user, '-p', login.password);
      await run(...env, 'validate', '--insecure', '--remote', `${gateway}/${repository}:v1`);
    });
    const env = ['/usr/bin/env', `DOCKER_CONFIG=${place('crane-lists')}`, programs.crane] as const;
    const [gateway] = registry.gateways as [string];
    await run(...env, 'auth', 'login', gateway, '-u', BOB.user, '-p', BOB.password);
    expect((await run(...env, 'ls', '--insecure', `${gateway}/open/crane`)).trim()).toBe('v1');
    const catalog = (await run(...env, 'catalog', '--insecure', gateway)).trim().split('\n');
    expect(catalog).toContain('open/crane');
    expect(catalog).not.toContain('secret/crane');
  });

  it('skopeo', async () => {
    let n = 0;
    await everybody('skopeo', async (gateway, repository, login) => {
      const file = place(`skopeo-${n++}.json`);
      if (login) {
        const credentials = ['--username', login.user, '--password', login.password];
        await run(programs.skopeo, 'login', '--tls-verify=false', '--authfile', file, ...credentials, gateway);
      }
      const known = login ? ['--authfile', file] : ['--no-creds'];
      await run(programs.skopeo, 'inspect', '--tls-verify=false', ...known, `docker://${gateway}/${repository}:v1`);
      const to = `dir:${place(`skopeo-${n}`)}`;
      const options = ['--insecure-policy', 'copy', '--src-tls-verify=false'];
      const from = login ? ['--src-authfile', file] : ['--src-no-creds'];
      await run(programs.skopeo, ...options, ...from, `docker://${gateway}/${repository}:v1`, to);
    });
  });

  it('oras', async () => {
    let n = 0;
    await everybody('oras', async (gateway, repository, login) => {
      const file = place(`oras-${n++}.json`);
      if (login) {
        const credentials = ['--username', login.user, '--password', login.password];
        await run(programs.oras, 'login', '--plain-http', '--registry-config', file, ...credentials, gateway);
      }
      const from = ['--from-plain-http', '--from-registry-config', file, `${gateway}/${repository}:v1`];
      await run(programs.oras, 'cp', '--no-tty', ...from, '--to-oci-layout', `${place(`oras-${n}`)}:v1`);
    });
  });

  it('containerd with a user, and through a mirror with a header in hosts.toml', async () => {
    const containerd = await Containerd.start(programs.containerd);
    const { host } = registry.upstream;
    const platform = 'linux/amd64';
    const header = ({ user, password }: typeof ALICE) =>
      `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
    try {
      await everybody('containerd', async (gateway, repository, login) => {
        const reference = `${gateway}/${repository}:v1`;
        const credentials = login ? ['--user', `${login.user}:${login.password}`] : [];
        await containerd.pull(reference, platform, '--plain-http', ...credentials);
        await containerd.remove(reference);
      });

      const image = registry.addImage('secret/mirrored', 3);
      const reference = `${host}/secret/mirrored:v1`;
      const requests = () => [...registry.upstream.requests].filter(({ path }) => path.includes('secret/mirrored'));
      const ours = () => requests().filter(({ headers }) => !headers['user-agent']?.startsWith('containerd'));
      // Whom we refuse asks the registry itself: a wrong password costs the cache and not the pull.
      await containerd.mirror(host, `http://${registry.gateways[0]}`, { authorization: header(WRONG) });
      await containerd.pull(reference, platform);
      expect([requests().length > 0, ours().length]).toEqual([true, 0]);
      await containerd.remove(reference);

      registry.upstream.requests.clear();
      for (const gateway of registry.gateways) {
        await containerd.mirror(host, `http://${gateway}`, { authorization: header(ALICE) });
        await containerd.pull(reference, platform);
        expect(await containerd.digestOf(reference)).toBe(image.root.digest);
        await containerd.remove(reference);
      }
      expect(ours().length).toBeGreaterThan(0);
      expect(requests().length).toBe(ours().length);
      expect(requests().filter(({ headers }) => headers.authorization !== undefined)).toEqual([]);
    } finally {
      await containerd.stop();
    }
  });
});
