import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hashSync } from 'bcryptjs';
import { type Installation, install, type StackName } from '../support/servers.js';
import { type AddedImage, type FakeUpstream, startFakeUpstream } from '../support/upstream/index.js';

export const ALICE = { user: 'alice', password: 'alices-Secret:1/x' };
export const BOB = { user: 'bob', password: 'bobs-secret-2' };

/** An installation that asks who its clients are: Alice may pull everything, Bob only what is below `open/`, nobody else anything. */
export class AskingRegistry {
  private constructor(
    readonly directory: string,
    readonly upstream: FakeUpstream,
    private readonly system: Installation,
  ) {}

  static async start(name: StackName): Promise<AskingRegistry> {
    const directory = mkdtempSync(join(tmpdir(), 'ociregistry-logins-'));
    chmodSync(directory, 0o755);
    const line = ({ user, password }: typeof ALICE) => `${user}:${hashSync(password, 10)}\n`;
    writeFileSync(join(directory, 'htpasswd'), line(ALICE) + line(BOB));
    const upstream = await startFakeUpstream();
    const system = await install(name, [upstream.host], {
      defaultNs: upstream.host,
      clientAuth: {
        htpasswd: join(directory, 'htpasswd'),
        rules: [
          { users: [ALICE.user], allow: ['**'] },
          { users: ['*'], allow: [`${upstream.host}/open/*`] },
        ],
        tokenKey: 'the-key-that-all-gateways-have-in-common',
      },
    });
    return new AskingRegistry(directory, upstream, system);
  }

  get gateways(): string[] {
    return this.system.gateways.map(({ url }) => new URL(url).host);
  }

  addImage(repository: string, seed: number): AddedImage {
    return this.upstream.addImage({ repository, tag: 'v1', platforms: ['linux/amd64'], index: true, seed });
  }

  async stop(): Promise<void> {
    await this.system.stop();
    await this.upstream.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
