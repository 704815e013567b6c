import { programPath } from '../../support/services/local.js';
import { Containerd } from '../containerd.js';
import { run } from '../programs.js';
import { type Client, type Ground, PLATFORMS, same } from './client.js';
import { exampleOf } from './readme.js';

const VERSIONS = [
  ['containerd 1.6', 'containerd'],
  ['containerd 1.7', 'containerd-1.7'],
  ['containerd 2.1', 'containerd-2'],
] as const;

/** Pieces in which a layer comes, so that the large one of an image is many. Bytes. */
const PIECE = 256 * 1024;

const version = ['--version'];

function byCtr(name: string, program: string, how: 'ns' | 'override_path' | 'parallel'): Client {
  const addressing = { ns: '`ns`', override_path: '`ns` and `override_path`', parallel: '`ns`, layers in pieces' }[how];
  return {
    name,
    program,
    version,
    addressing: `hosts.toml: ${addressing}`,
    pieces: how === 'parallel',
    async open({ upstream, repository, index, program: command }: Ground) {
      // By itself `ctr` 2 leaves the pull to the daemon, which then wants to be told a snapshotter.
      const local = program === 'containerd-2' ? { pull: ['--local'] } : {};
      const options = how === 'parallel' ? { parallel: PIECE, pull: ['--local=false'] } : local;
      const containerd = await Containerd.start(command, options);
      const reference = `${upstream}/${repository}:v1`;
      return {
        async pull(gateway) {
          if (how === 'override_path')
            await containerd.mirror(upstream, `http://${gateway}/v2/${upstream}`, { overridePath: true });
          else await containerd.mirror(upstream, `http://${gateway}`);
          await containerd.pull(reference, PLATFORMS[0]);
          same('the image', await containerd.digestOf(reference), index.digest);
          await containerd.remove(reference);
          same('what is left', (await containerd.content()).length, 0);
        },
        close: () => containerd.stop(),
      };
    },
  };
}

function byCri(name: string, program: string): Client {
  return {
    name: `${name}, CRI`,
    program,
    version,
    addressing: '`_default/hosts.toml`: `ns`; by `crictl`',
    async open({ upstream, repository, index, program: command }: Ground) {
      const crictl = await programPath('crictl');
      const containerd = await Containerd.start(command, { cri: true });
      const reference = `${upstream}/${repository}:v1`;
      const ask = (...args: string[]) =>
        run(crictl, '--runtime-endpoint', containerd.socket, '--image-endpoint', containerd.socket, ...args);
      return {
        async pull(gateway) {
          await containerd.mirrorAll(exampleOf('/etc/containerd/certs.d/_default/hosts.toml', gateway));
          await ask('pull', reference);
          const { images } = JSON.parse(await ask('images', '-o', 'json', reference));
          same('the image', images[0]?.repoDigests[0], `${upstream}/${repository}@${index.digest}`);
          await ask('rmi', reference);
        },
        close: () => containerd.stop(),
      };
    },
  };
}

export const containerdClients: readonly Client[] = [
  ...VERSIONS.flatMap(([name, program]) => [
    byCtr(name, program, 'ns'),
    byCtr(name, program, 'override_path'),
    byCri(name, program),
  ]),
  byCtr('containerd 2.1', 'containerd-2', 'parallel'),
];
