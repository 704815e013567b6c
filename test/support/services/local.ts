import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freePort, untilReady } from './probe.js';
import { type LocalCommand, type Service, type ServiceRecipe, startTimeout } from './service.js';

/** The place of a real program, installed first when this machine lacks it. Throws with what to install. */
export async function programPath(name: string): Promise<string> {
  const script = resolve(import.meta.dirname, '../../../scripts/services.mjs');
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [script, name]);
    return (JSON.parse(stdout) as Record<string, string>)[name] as string;
  } catch (error) {
    const { stderr } = error as { stderr?: string };
    throw new Error(`the tests need ${name}, which cannot be had here: ${stderr?.trim() || error}`);
  }
}

/** Starts the recipe's server as a child process in a temporary directory of its own. */
export async function startLocal(recipe: ServiceRecipe): Promise<Service> {
  const directory = await mkdtemp(join(tmpdir(), `ociregistry-${recipe.name}-`));
  // PostgreSQL runs as another user than root; what matters inside has modes of its own.
  await chmod(directory, 0o711);
  try {
    // Another process may take the port between the look and the start: a few tries on fresh ports.
    for (let attempt = 1; ; attempt++) {
      const port = await freePort();
      const service = new LocalService(recipe, directory, port, await recipe.local(directory, port));
      try {
        await service.restart();
        return service;
      } catch (error) {
        await service.kill();
        if (attempt === 3) throw error;
      }
    }
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

class LocalService implements Service {
  readonly host = '127.0.0.1';
  private child: ChildProcess | undefined;
  private guard: ChildProcess | undefined;

  constructor(
    private readonly recipe: ServiceRecipe,
    private readonly directory: string,
    readonly port: number,
    private readonly command: LocalCommand,
  ) {}

  get pid(): number | undefined {
    return this.child?.pid;
  }

  async restart(): Promise<void> {
    await this.end(this.command.stopSignal ?? 'SIGTERM');
    const deadline = AbortSignal.timeout(startTimeout);
    // After a SIGKILL, orphans of the old server (PostgreSQL backends) may hold the data for a moment.
    for (let attempt = 1; ; attempt++) {
      const child = this.spawn();
      const exit = new AbortController();
      const exited = once(child, 'exit', { signal: exit.signal }).then(([code, signal]) => {
        throw new Error(`${this.recipe.name} ended at start with ${code ?? signal}`);
      });
      const given = new AbortController();
      try {
        const ready = untilReady(() => this.recipe.probe(this.port), AbortSignal.any([deadline, given.signal]));
        await Promise.race([ready, exited]);
        return;
      } catch (error) {
        if (attempt === 5 || deadline.aborted) {
          throw new Error(`${(error as Error).message}; its output:\n${(await this.logs()).slice(-4000)}`, {
            cause: error,
          });
        }
      } finally {
        given.abort();
        exit.abort();
        exited.catch(() => undefined);
      }
      await this.end('SIGKILL');
      await sleep(200);
    }
  }

  async kill(): Promise<void> {
    await this.end('SIGKILL');
  }

  async stop(): Promise<void> {
    await this.end(this.command.stopSignal ?? 'SIGTERM');
    await rm(this.directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }

  async logs(): Promise<string> {
    return readFile(this.logFile, 'utf8').catch(() => '');
  }

  private get logFile(): string {
    return join(this.directory, 'output.log');
  }

  private spawn(): ChildProcess {
    const { command, args, env, uid, gid } = this.command;
    const log = openSync(this.logFile, 'a');
    // A process group of its own: Ctrl-C goes to the test run, which then stops its servers in order.
    const child = spawn(command, args, {
      cwd: '/',
      env: { PATH: process.env.PATH, HOME: this.directory, TZ: 'UTC', ...env },
      stdio: ['ignore', log, log],
      detached: true,
      uid,
      gid,
    });
    closeSync(log);
    child.on('error', () => undefined);
    child.unref();
    this.child = child;
    this.guard = guard(child, this.directory);
    return child;
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    const child = this.child;
    if (!child) return;
    this.child = undefined;
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      child.ref();
      const exited = once(child, 'exit');
      child.kill(signal);
      const late = setTimeout(() => child.kill('SIGKILL'), 20_000);
      await exited;
      clearTimeout(late);
    }
    this.guard?.stdin?.end('ended\n');
    this.guard = undefined;
  }
}

/**
 * A shell that outlives this process by a moment: when the pipe to it closes without a word, because the test run
 * was killed or forgot its server, it kills the server and removes the directory.
 */
function guard(child: ChildProcess, directory: string): ChildProcess {
  const script = 'read -r word || { kill -9 -"$1"; kill -9 "$1"; sleep 1; rm -rf "$2"; }';
  const shell = spawn('/bin/sh', ['-c', script, 'guard', String(child.pid), directory], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  shell.on('error', () => undefined);
  shell.stdin?.on('error', () => undefined);
  shell.unref();
  (shell.stdin as unknown as { unref?(): void } | null)?.unref?.();
  return shell;
}
