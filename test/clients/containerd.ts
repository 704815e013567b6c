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

/** A containerd of its own, beside any that the machine runs. Needs root, as containerd does. */
export class Containerd {
  private constructor(
    private readonly directory: string,
    private readonly child: ChildProcess,
    private readonly ctrCommand: string,
  ) {}

  /** `command`: the place of `containerd`; `ctr` is beside it. */
  static async start(command: string): Promise<Containerd> {
    const directory = await mkdtemp(join(tmpdir(), 'ociregistry-containerd-'));
    const at = (name: string) => JSON.stringify(join(directory, name));
    const config = join(directory, 'config.toml');
    // The default places belong to the machine's own containerd; CRI would want a network set-up.
    await writeFile(
      config,
      `version = 2
root = ${at('root')}
state = ${at('state')}
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = ${at('containerd.sock')}
[ttrpc]
address = ${at('ttrpc.sock')}
[plugins."io.containerd.internal.v1.opt"]
path = ${at('opt')}
`,
    );
    const log = openSync(join(directory, 'output.log'), 'a');
    const child = spawn(command, ['--config', config], { stdio: ['ignore', log, log] });
    closeSync(log);
    child.on('error', () => undefined);
    const containerd = new Containerd(directory, child, join(dirname(command), 'ctr'));
    try {
      await containerd.untilReady();
      return containerd;
    } catch (error) {
      await containerd.stop();
      throw error;
    }
  }

  /** Sends every pull from `upstream` to `mirror` (a URL) first, which containerd tells the host as `?ns=`. */
  async mirror(upstream: string, mirror: string): Promise<void> {
    const directory = join(this.hosts, upstream);
    await mkdir(directory, { recursive: true });
    const hosts = `server = "http://${upstream}"\n[host."${mirror}"]\n  capabilities = ["pull", "resolve"]\n`;
    await writeFile(join(directory, 'hosts.toml'), hosts);
  }

  async pull(reference: string, platform: string): Promise<void> {
    // Unlike overlay, the native snapshotter needs nothing of the file system below.
    const options = ['--snapshotter', 'native', '--hosts-dir', this.hosts, '--platform', platform];
    await this.ctr('images', 'pull', ...options, reference);
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
