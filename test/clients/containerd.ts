import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from './programs.js';

const START_MS = 60_000;
const NAMESPACE = 'ociregistry-test';

interface ContainerdOptions {
  /** Serves Kubernetes' CRI too; pods would need more, pulling images does not. */
  readonly cri?: boolean;
  /** Fetches layers in pieces of this many bytes, several at a time; from containerd 2.1 on. */
  readonly parallel?: number;
  /** More arguments of `ctr images pull`. */
  readonly pull?: readonly string[];
}

/** A containerd of its own, beside any that the machine runs. Needs root, as containerd does. */
export class Containerd {
  private constructor(
    private readonly directory: string,
    private readonly child: ChildProcess,
    private readonly ctrCommand: string,
    private readonly pullArguments: readonly string[],
  ) {}

  /** `command`: the place of `containerd`; `ctr` is beside it. */
  static async start(
    command: string,
    { cri = false, parallel, pull = [] }: ContainerdOptions = {},
  ): Promise<Containerd> {
    const directory = await mkdtemp(join(tmpdir(), 'ociregistry-containerd-'));
    const at = (name: string) => JSON.stringify(join(directory, name));
    const config = join(directory, 'config.toml');
    // The default places belong to the machine's own containerd; CRI is left out where nobody asks for it.
    await writeFile(
      config,
      `version = 2
root = ${at('root')}
state = ${at('state')}
disabled_plugins = [${cri ? '' : '"io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"'}]
[grpc]
address = ${at('containerd.sock')}
[ttrpc]
address = ${at('ttrpc.sock')}
[plugins."io.containerd.internal.v1.opt"]
path = ${at('opt')}
${cri ? criSection(at('certs.d')) : ''}
${parallel === undefined ? '' : transferSection(at('certs.d'), parallel)}
`,
    );
    const log = openSync(join(directory, 'output.log'), 'a');
    const child = spawn(command, ['--config', config], { stdio: ['ignore', log, log] });
    closeSync(log);
    child.on('error', () => undefined);
    const ctr = join(dirname(command), 'ctr');
    const containerd = new Containerd(directory, child, ctr, pull);
    try {
      await containerd.untilReady();
      return containerd;
    } catch (error) {
      await containerd.stop();
      throw error;
    }
  }

  get socket(): string {
    return `unix://${join(this.directory, 'containerd.sock')}`;
  }

  /**
   * Sends every pull from `upstream` to `mirror` (a URL) first, which containerd tells the host as `?ns=`. With
   * `overridePath`, `mirror` holds the whole path, `/v2` with it; `authorization` is the header that the mirror gets.
   */
  async mirror(
    upstream: string,
    mirror: string,
    { overridePath = false, authorization }: { readonly overridePath?: boolean; readonly authorization?: string } = {},
  ): Promise<void> {
    const directory = join(this.hosts, upstream);
    await mkdir(directory, { recursive: true });
    const host = [`[host."${mirror}"]`, '  capabilities = ["pull", "resolve"]'];
    if (overridePath) host.push('  override_path = true');
    if (authorization)
      host.push(`  [host."${mirror}".header]`, `    Authorization = [${JSON.stringify(authorization)}]`);
    await writeFile(join(directory, 'hosts.toml'), `server = "http://${upstream}"\n${host.join('\n')}\n`);
  }

  /** Sends every pull where `hosts` (a hosts.toml) says. */
  async mirrorAll(hosts: string): Promise<void> {
    const directory = join(this.hosts, '_default');
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, 'hosts.toml'), hosts);
  }

  /** `more`: arguments of this pull alone. */
  async pull(reference: string, platform: string, ...more: readonly string[]): Promise<void> {
    // Unlike overlay, the native snapshotter needs nothing of the file system below.
    const options = ['--snapshotter', 'native', '--hosts-dir', this.hosts, '--platform', platform];
    await this.ctr('images', 'pull', ...options, ...this.pullArguments, ...more, reference);
  }

  /** Removes the image and, before it returns, all of its content. */
  async remove(reference: string): Promise<void> {
    await this.ctr('images', 'rm', '--sync', reference);
  }

  /** The digest that a reference stands for. */
  async digestOf(reference: string): Promise<string | undefined> {
    const lines = (await this.ctr('images', 'ls', `name==${reference}`)).trim().split('\n').slice(1);
    return lines[0]?.split(/\s+/)[2];
  }

  /** Digests of everything stored, sorted. containerd stores only what it has verified. */
  async content(): Promise<string[]> {
    return (await this.ctr('content', 'ls', '-q')).split('\n').filter(Boolean).sort();
  }

  async stop(): Promise<void> {
    const { child } = this;
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), 20_000);
      await exited;
      clearTimeout(late);
    }
    await rm(this.directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }

  private get hosts(): string {
    return join(this.directory, 'certs.d');
  }

  private ctr(...args: string[]): Promise<string> {
    return run(this.ctrCommand, '-a', join(this.directory, 'containerd.sock'), '-n', NAMESPACE, ...args);
  }

  private async untilReady(): Promise<void> {
    const deadline = Date.now() + START_MS;
    for (;;) {
      try {
        await this.ctr('version');
        return;
      } catch (error) {
        if (this.child.exitCode !== null || this.child.pid === undefined || Date.now() > deadline) {
          const log = await readFile(join(this.directory, 'output.log'), 'utf8').catch(() => '');
          throw new Error(`containerd did not start: ${log.slice(-4000)}`, { cause: error });
        }
        await sleep(100);
      }
    }
  }
}

function criSection(hosts: string): string {
  const image = 'plugins."io.containerd.grpc.v1.cri"';
  return `[${image}.containerd]
snapshotter = "native"
[${image}.registry]
config_path = ${hosts}`;
}

function transferSection(hosts: string, bytes: number): string {
  return `[plugins."io.containerd.transfer.v1.local"]
config_path = ${hosts}
concurrent_layer_fetch_buffer = ${bytes}
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
platform = "linux/amd64"
snapshotter = "native"`;
}
