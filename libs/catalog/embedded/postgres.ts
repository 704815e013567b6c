import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { backoff, Deferred, sleep, within } from '#async';
import { type Placement, place } from './placement.js';

export interface EmbeddedLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface EmbeddedPostgres {
  /** Over a Unix socket that only this user (and root) reaches. */
  readonly url: string;
  /** Ends it as PostgreSQL's fast shutdown does; bounded. Callers share one stop. */
  stop(): Promise<void>;
}

const USER = 'ociregistry';
const STOP_MS = 10_000;
const START_MS = 120_000;

/**
 * PostgreSQL and a guard: when our end of its stdin closes, for whatever reason we died, the server is shut down.
 * `$@` is the server's command line.
 */
const GUARD = `
exec 3<&0
"$@" </dev/null 3<&- & server=$!
trap 'kill -INT $server 2>/dev/null' INT TERM HUP
( cat <&3 >/dev/null; kill -INT $server 2>/dev/null ) & watch=$!
while :; do wait $server; code=$?; kill -0 $server 2>/dev/null || break; done
kill $watch 2>/dev/null
exit $code`;

/** A cache's facts can be fetched again: the last milliseconds before a power cut may be lost, consistency may not. */
const SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: '',
  shared_buffers: '64MB',
  max_connections: '60',
  synchronous_commit: 'off',
  wal_level: 'minimal',
  max_wal_senders: '0',
  max_wal_size: '512MB',
  jit: 'off',
  log_min_messages: 'warning',
};

/**
 * Starts a private PostgreSQL on `dataDir` and keeps it running. The caller holds the lock on the directory: whatever
 * server still runs there is the orphan of a killed process and is stopped first. Rejects when it does not come up.
 */
export async function startEmbeddedPostgres({
  dataDir,
  log,
}: {
  dataDir: string;
  log: EmbeddedLog;
}): Promise<EmbeddedPostgres> {
  const placement = place(dataDir);
  const cluster = join(placement.data, 'cluster');
  if (!existsSync(join(cluster, 'PG_VERSION'))) await initialise(placement, cluster);
  await stopOrphan(cluster, log);
  const password = readFileSync(join(placement.data, 'password'), 'utf8').trim();
  const sockets = socketDirectory(placement);
  const server = new Supervised(placement, cluster, sockets, log);
  const url = `postgres://${USER}:${password}@localhost/postgres?host=${encodeURIComponent(sockets)}`;
  try {
    await server.start();
    await answering(url, server);
  } catch (error) {
    await server.stop();
    throw error;
  }
  log.info({ data: placement.data }, 'private PostgreSQL is running');
  return { url, stop: () => server.stop() };
}

class Supervised {
  private child: ChildProcess | undefined;
  private ended = new Deferred<number | null>();
  private stopping: Promise<void> | undefined;
  private crashes = 0;
  lastWords = '';

  constructor(
    private readonly placement: Placement,
    private readonly cluster: string,
    private readonly sockets: string,
    private readonly log: EmbeddedLog,
  ) {}

  get running(): boolean {
    return this.child !== undefined;
  }

  async start(): Promise<void> {
    const settings = Object.entries({ ...SETTINGS, unix_socket_directories: this.sockets }).flatMap(([key, value]) => [
      '-c',
      `${key}=${value}`,
    ]);
    const command = [join(this.placement.binaries, 'bin/postgres'), '-D', this.cluster, ...settings];
    const child = spawn('/bin/sh', ['-c', GUARD, 'guard', ...command], {
      ...this.placement.user,
      cwd: '/',
      stdio: ['pipe', 'ignore', 'pipe'],
      // A Ctrl-C of the terminal is ours to handle: the server must outlive our drain.
      detached: true,
    });
    this.child = child;
    this.ended = new Deferred();
    child.stdin?.on('error', () => {});
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.lastWords = text.trim();
      this.log.debug({ output: this.lastWords }, 'PostgreSQL says');
    });
    child.on('error', (error) => this.onEnd(child, null, error.message));
    child.on('exit', (code) => this.onEnd(child, code));
  }

  stop(): Promise<void> {
    this.stopping ??= this.end();
    return this.stopping;
  }

  private async end(): Promise<void> {
    const { child } = this;
    if (child) {
      child.stdin?.end();
      await within(STOP_MS, this.ended.promise, () => new Error('slow')).catch(async () => {
        this.log.warn({}, 'PostgreSQL does not stop, it is killed');
        killServer(this.cluster, 'SIGQUIT');
        await within(STOP_MS / 2, this.ended.promise, () => new Error('slow')).catch(() =>
          killServer(this.cluster, 'SIGKILL'),
        );
      });
    }
    rmSync(this.sockets, { recursive: true, force: true });
  }

  private onEnd(child: ChildProcess, code: number | null, reason = this.lastWords): void {
    if (this.child !== child) return;
    this.child = undefined;
    this.ended.resolve(code);
    if (this.stopping) return;
    this.log.warn({ code, reason }, 'PostgreSQL ended unexpectedly, starting it again');
    void sleep(backoff(this.crashes++, 200, 5000)).then(() => this.stopping ?? this.start());
  }
}

async function initialise(placement: Placement, cluster: string): Promise<void> {
  const { binaries, data, user } = placement;
  const own = (path: string) => user && chownSync(path, user.uid, user.gid);
  const fresh = `${cluster}.new`;
  rmSync(fresh, { recursive: true, force: true });
  const passwordFile = join(data, 'password');
  writeFileSync(passwordFile, `${randomBytes(24).toString('base64url')}\n`, { mode: 0o600 });
  own(passwordFile);
  const args = [
    '-D',
    fresh,
    '-U',
    USER,
    '--pwfile',
    passwordFile,
    '-A',
    'scram-sha-256',
    '-E',
    'UTF8',
    '--locale=C',
    '--no-instructions',
  ];
  const child = spawn(join(binaries, 'bin/initdb'), args, { ...user, cwd: '/', stdio: ['ignore', 'ignore', 'pipe'] });
  let output = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const code = await new Promise<number | null>((resolve, reject) =>
    child.once('error', reject).once('close', resolve),
  );
  if (code !== 0) throw new Error(`initdb failed: ${output.trim()}`);
  // A crash before here leaves no half-made cluster.
  rmSync(cluster, { recursive: true, force: true });
  renameSync(fresh, cluster);
}

/** Unix socket paths end at 107 bytes, so a deep data directory needs another place. */
function socketDirectory({ data, user }: Placement): string {
  const near = join(data, 'run');
  const directory = near.length <= 80 ? near : mkdtempSync(join(tmpdir(), 'ociregistry-'));
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { mode: 0o700 });
  if (user) chownSync(directory, user.uid, user.gid);
  return directory;
}

async function answering(url: string, server: Supervised): Promise<void> {
  const deadline = Date.now() + START_MS;
  for (;;) {
    const client = new Client({ connectionString: url, connectionTimeoutMillis: 2000 });
    client.on('error', () => {});
    try {
      await client.connect();
      await client.end();
      return;
    } catch (error) {
      await client.end().catch(() => {});
      if (!server.running || Date.now() > deadline)
        throw new Error(`PostgreSQL did not start: ${server.lastWords || error}`);
      await sleep(50);
    }
  }
}

/** The pid in the cluster's lock file, if that process lives and serves this cluster. */
function serverPid(cluster: string): number | undefined {
  try {
    const pid = Number(readFileSync(join(cluster, 'postmaster.pid'), 'utf8').split('\n', 1)[0]);
    process.kill(pid, 0);
    const proc = `/proc/${pid}/cmdline`;
    // Without /proc the number itself must do.
    return !existsSync('/proc/self') || readFileSync(proc, 'utf8').split('\0').includes(cluster) ? pid : undefined;
  } catch {
    return undefined;
  }
}

function killServer(cluster: string, signal: NodeJS.Signals): void {
  const pid = serverPid(cluster);
  if (pid !== undefined) process.kill(pid, signal);
}

async function stopOrphan(cluster: string, log: EmbeddedLog): Promise<void> {
  const pid = serverPid(cluster);
  if (pid === undefined) return;
  log.warn({ pid }, 'stopping the PostgreSQL of a process that was killed');
  for (const signal of ['SIGINT', 'SIGQUIT', 'SIGKILL'] as const) {
    killServer(cluster, signal);
    for (let i = 0; i < 100 && serverPid(cluster) === pid; i++) await sleep(100);
  }
}
