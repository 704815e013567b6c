import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { programPath } from '../../support/services/local.js';
import { ALICE, AskingRegistry, BOB } from '../logins.js';
import { Dockerd } from './dockerd.js';

jest.setTimeout(300_000);

describe.each(['dockerd-20', 'dockerd-28'])('%s logs in', (program) => {
  let registry: AskingRegistry;
  beforeAll(async () => {
    registry = await AskingRegistry.start('standalone');
  });
  afterAll(() => registry?.stop());

  it('and pulls what its user may', async () => {
    const [gateway] = registry.gateways as [string];
    for (const repository of ['secret/docker', 'open/docker']) registry.addImage(repository, 1);
    const dockerd = new Dockerd(await programPath(program), join(registry.directory, 'docker'));
    const config = ['--config', join(registry.directory, 'docker-config')];
    const docker = (...args: string[]) => dockerd.docker(...config, ...args);
    const login = ({ user, password }: typeof ALICE) => docker('login', '-u', user, '-p', password, gateway);
    const pull = (repository: string) => docker('pull', '--quiet', `${gateway}/${repository}:v1`);
    await dockerd.start({});
    try {
      await expect(pull('open/docker')).rejects.toThrow(/unauthorized|authentication required|no basic auth/);
      await expect(login({ ...ALICE, password: 'wrong' })).rejects.toThrow(/unauthorized|authentication required/);
      await login(BOB);
      expect(await readFile(join(registry.directory, 'docker-config/config.json'), 'utf8')).toContain(gateway);
      await pull('open/docker');
      await expect(pull('secret/docker')).rejects.toThrow(/denied/);
      await login(ALICE);
      await pull('secret/docker');
    } finally {
      await dockerd.remove();
    }
  });
});
