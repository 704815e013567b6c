import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { BUCKET, embeddedPid, embeddedUrl, emptyDatabase, filesOf, objectsOf, type StoredBlobs } from './inside.js';
import { freePort, startNats, startPostgres, startS3 } from './services/index.js';

export const MAIN = join(__dirname, '../../dist/apps/cli/main.js');
const START_MS = 90_000;

export type StackName = 'standalone' | 'distributed';

/** One `ociregistry serve` process, built, started as a user would. */
export class ServerProcess {
  private child: ChildProcess | undefined;
  private output = '';

  private constructor(
    private readonly args: readonly string[],
    /** Base URL of the registry; of the admin port for a role without one. */
    readonly url: string,
    readonly admin: string,
  ) {}

  static async start(role: string, config: object, directory: string): Promise<ServerProcess> {
    const [port, adminPort] = [await freePort(), await freePort()];
    const file = join(directory, `${role}-${port}.yaml`);
    writeFileSync(file, stringify({ ...config, port, adminPort, host: '127.0.0.1' }));
    const server = new ServerProcess(
      ['serve', '--role', role, '--config-file', file],
      `http://127.0.0.1:${port}`,
      `http://127.0.0.1:${adminPort}`,
    );
    await server.start();
    return server;
  }

  async start(): Promise<void> {
    const child = this.launch();
    const deadline = Date.now() + START_MS;
    while (!(await this.ready())) {
      if (child.exitCode !== null || Date.now() > deadline)
        throw new Error(`the server did not start:\n${this.output}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Starts the process and waits for nothing. */
  launch(): ChildProcess {
    const child = spawn(process.execPath, [MAIN, ...this.args], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.child = child;
    child.stdout.on('data', (text) => this.keep(text));
    child.stderr.on('data', (text) => this.keep(text));
    return child;
  }

  async ready(): Promise<boolean> {
    return fetch(`${this.admin}/health/ready`).then(
      (response) => response.ok,
      () => false,
    );
  }

  get pid(): number {
    if (!this.child?.pid) throw new Error('not running');
    return this.child.pid;
  }

  /** Everything it has printed. */
  get log(): string {
    return this.output;
  }

  /** Resolves with the exit code. */
  stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    const { child } = this;
    this.child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return Promise.resolve(child?.exitCode ?? null);
    return new Promise((resolve) => {
      child.once('exit', (code) => resolve(code));
      child.kill(signal);
    });
  }

  /** Starts another process with the same command and waits for its end. */
  async twin(): Promise<{ code: number | null; output: string }> {
    const child = spawn(process.execPath, [MAIN, ...this.args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    const keep = (text: Buffer) => {
      output += text;
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
    return { code, output };
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  private keep(text: Buffer): void {
    if (process.env.OCIREGISTRY_TEST_OUTPUT) process.stderr.write(text);
    this.output = (this.output + text.toString()).slice(-200_000);
  }
}

/** A running installation of either stack, with everything that it needs. */
export interface Installation {
  readonly name: StackName;
  /** Registry URLs; two on the distributed stack. */
  readonly gateways: readonly ServerProcess[];
  /** Processes that download; the gateway itself on the standalone stack. */
  readonly pullers: readonly ServerProcess[];
  readonly services: { readonly postgres?: Restartable; readonly nats?: Restartable; readonly s3?: Restartable };
  /** The process with the admin API; on the distributed stack it is started when it is first asked for. */
  admin(): Promise<ServerProcess>;
  /** One more process with the role `admin`, on the distributed stack alone; stopped with the others. */
  another?(): Promise<ServerProcess>;
  /** Behind the servers' backs: the database, the committed blobs, the directories of running downloads. */
  readonly databaseUrl: string;
  readonly stored: StoredBlobs;
  readonly spools: readonly string[];
  restartAll(): Promise<void>;
  /** Every server process, and the admin's where there is one. */
  processes(): Promise<readonly ServerProcess[]>;
  /** With all processes stopped: the database is gone, and what comes next finds an empty one. */
  loseDatabase(): Promise<void>;
  stop(): Promise<void>;
}

interface Restartable {
  restart(): Promise<void>;
  kill(): Promise<void>;
}

/** `upstreams`: hosts that are reached over plain http. */
export async function install(
  name: StackName,
  upstreams: readonly string[],
  extra: object = {},
): Promise<Installation> {
  const directory = mkdtempSync(join(tmpdir(), 'ociregistry-e2e-'));
  // As root the private PostgreSQL runs as another user and would place its data elsewhere, beyond our clean-up.
  chmodSync(directory, 0o755);
  const config = {
    registries: upstreams.map((host) => ({ name: host, scheme: 'http' })),
    logLevel: 'debug',
    pulls: { lease: '3s' },
    ...extra,
  };
  return name === 'standalone' ? standalone(config, directory) : distributed(config, directory);
}

async function standalone(config: object, directory: string): Promise<Installation> {
  const dataDir = join(directory, 'data');
  const server = await ServerProcess.start('all', { ...config, dataDir }, directory);
  const blobs =
    (config as { blobs?: { filesystem?: { path: string } } }).blobs?.filesystem?.path ?? join(dataDir, 'blobs');
  return {
    name: 'standalone',
    gateways: [server],
    pullers: [server],
    services: { postgres: privatePostgres(server, dataDir) },
    admin: async () => server,
    // Its password is another after the database was lost.
    get databaseUrl() {
      return embeddedUrl(dataDir);
    },
    stored: filesOf(blobs),
    spools: [join(blobs, 'ingest')],
    restartAll: () => server.restart(),
    processes: async () => [server],
    loseDatabase: async () => rmSync(join(dataDir, 'postgres'), { recursive: true }),
    stop: async () => {
      await server.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** The server starts it again by itself. */
function privatePostgres(server: ServerProcess, dataDir: string): Restartable {
  const kill = async () => {
    const pid = embeddedPid(dataDir);
    if (pid) process.kill(pid, 'SIGKILL');
  };
  const restart = async () => {
    while (!(await server.ready())) await new Promise((resolve) => setTimeout(resolve, 50));
  };
  return { kill, restart };
}

async function distributed(config: object, directory: string): Promise<Installation> {
  const [postgres, nats, s3] = await Promise.all([startPostgres({ version: 17 }), startNats(), startS3()]);
  const shared = {
    ...config,
    metadata: { url: postgres.url },
    bus: { nats: nats.url },
    blobs: { s3: { endpoint: s3.endpoint, bucket: BUCKET, accessKey: s3.accessKey, secretKey: s3.secretKey } },
  };
  const one = async (role: string, n: number) =>
    ServerProcess.start(
      role,
      {
        ...shared,
        dataDir: join(directory, `${role}${n}`),
        relay: { ...(config as { relay?: object }).relay, port: await freePort(), advertise: '127.0.0.1' },
      },
      directory,
    );
  // All at once: ten processes may start together.
  const started = await Promise.all([one('gateway', 1), one('gateway', 2), one('puller', 1), one('puller', 2)]);
  const [gateways, pullers] = [started.slice(0, 2), started.slice(2)];
  let admin: Promise<ServerProcess> | undefined;
  return {
    name: 'distributed',
    gateways,
    pullers,
    services: { postgres, nats, s3 },
    admin: () => (admin ??= one('admin', 1)),
    another: async () => {
      const server = await one('admin', 2);
      started.push(server);
      return server;
    },
    databaseUrl: postgres.url,
    stored: objectsOf(s3),
    spools: [1, 2].map((n) => join(directory, `puller${n}`, 'spool')),
    restartAll: async () => {
      await Promise.all(started.map((server) => server.restart()));
    },
    processes: async () => [...started, ...(admin ? [await admin] : [])],
    loseDatabase: () => emptyDatabase(postgres.url),
    stop: async () => {
      await Promise.all([...started, ...(admin ? [await admin] : [])].map((server) => server.stop()));
      await Promise.all([postgres.stop(), nats.stop(), s3.stop()]);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** The stacks that a suite runs on: both, or the one that `STACK` names. */
export function stacks(): StackName[] {
  const all: StackName[] = ['standalone', 'distributed'];
  const { STACK } = process.env;
  return STACK ? all.filter((name) => name === STACK) : all;
}
