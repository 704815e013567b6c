import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../programs.js';
import { type Client, type Ground, same } from './client.js';
import { exampleOf } from './readme.js';

const START_MS = 60_000;

/** A Docker engine of its own, without a network; only images are pulled. */
export class Dockerd {
  private child: ChildProcess | undefined;

  constructor(
    private readonly command: string,
    private readonly directory: string,
  ) {}

  /** `settings`: what its configuration file says besides what it needs to be one of many. */
  async start(settings: object): Promise<void> {
    const at = (name: string) => join(this.directory, name);
    await mkdir(this.directory, { recursive: true });
    const config = {
      ...settings,
      'data-root': at('data'),
      'exec-root': at('exec'),
      'storage-driver': 'vfs',
      pidfile: at('docker.pid'),
      bridge: 'none',
      iptables: false,
    };
    await writeFile(at('daemon.json'), JSON.stringify(config));
    const log = openSync(at('output.log'), 'a');
    const sbin = dirname(this.command);
    // Its containerd and runc are beside it, and none of the machine's proxies stands before loopback.
    const env = { PATH: `${join(sbin, '../bin')}:${sbin}:${process.env.PATH}`, HOME: this.directory };
    const args = ['--config-file', at('daemon.json'), '-H', this.host];
    this.child = spawn(this.command, args, { env, stdio: ['ignore', log, log] });
    closeSync(log);
    this.child.on('error', () => undefined);
    const deadline = Date.now() + START_MS;
    while (
      !(await this.docker('version').then(
        () => true,
        () => false,
      ))
    ) {
      if (this.child.exitCode !== null || Date.now() > deadline)
        throw new Error(`dockerd did not start:\n${(await readFile(at('output.log'), 'utf8')).slice(-3000)}`);
      await sleep(200);
    }
  }

  docker(...args: string[]): Promise<string> {
    const beside = join(dirname(this.command), '../bin/docker');
    return run(existsSync(beside) ? beside : 'docker', '-H', this.host, ...args);
  }

  async stop(): Promise<void> {
    const { child } = this;
    this.child = undefined;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    const late = setTimeout(() => child.kill('SIGKILL'), 30_000);
    await exited;
    clearTimeout(late);
  }

  async remove(): Promise<void> {
    await this.stop();
    await rm(this.directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
  }

  private get host(): string {
    return `unix://${join(this.directory, 'docker.sock')}`;
  }
}

function docker(name: string, program: string, how: 'registry-mirrors' | 'in-path'): Client {
  return {
    name,
    program,
    version: ['--version'],
    addressing: how === 'in-path' ? 'host in the path' : '`registry-mirrors`, Docker Hub by default',
    async open({ inPath, repository, index, directory, program: command }: Ground) {
      const dockerd = new Dockerd(command, join(directory, 'docker'));
      let mirror: string | undefined;
      return {
        async pull(gateway) {
          if (mirror !== gateway) {
            await dockerd.stop();
            await dockerd.start(how === 'in-path' ? {} : JSON.parse(exampleOf('/etc/docker/daemon.json', gateway)));
            mirror = gateway;
          }
          const path = how === 'in-path' ? `${gateway}/${inPath}/${repository}` : repository;
          await dockerd.docker('pull', '--quiet', `${path}:v1`);
          const format = '{{index .RepoDigests 0}}';
          const found = await dockerd.docker('image', 'inspect', '--format', format, `${path}:v1`);
          same('the image', found.trim(), `${path}@${index.digest}`);
          await dockerd.docker('image', 'rm', `${path}:v1`);
        },
        close: () => dockerd.remove(),
      };
    },
  };
}

export const dockerClients: readonly Client[] = [
  docker('Docker 20.10', 'dockerd-20', 'registry-mirrors'),
  docker('Docker 20.10', 'dockerd-20', 'in-path'),
  docker('Docker 28', 'dockerd-28', 'registry-mirrors'),
  docker('Docker 28', 'dockerd-28', 'in-path'),
];
