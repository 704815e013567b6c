import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Deferred, sleep } from '#async';
import { environment } from './cluster.js';
import type { Placement } from './placement.js';
import { commandOf, signal, startOf } from './processes.js';

/**
 * Stops the server when we are gone, however we went: it reads a pipe whose other end is ours, and the kernel closes that.
 * The server is in a session of its own, so that Ctrl-C on a terminal reaches us and not it: it is stopped after our drain.
 */
const SUPERVISOR = `
exec 3<&0 </dev/null
"$@" 3<&- &
server=$!
(while read -r _ <&3; do :; done; kill -INT "$server") 2>/dev/null &
watcher=$!
exec 3<&-
wait "$server"
status=$?
kill "$watcher" 2>/dev/null
exit $status
`;

/**
 * Small: one registry's catalog and some tens of connections. A commit does not wait for the disk: power loss costs the
 * last half second of facts, in order, and every one of them can be fetched again. Pages are still synced.
 */
const settings: Readonly<Record<string, string>> = {
  listen_addresses: '',
  max_connections: '60',
  shared_buffers: '48MB',
  work_mem: '4MB',
  maintenance_work_mem: '48MB',
  synchronous_commit: 'off',
  // Not minimal: a sequence that a migration makes and uses would be set back by a crash, and give the same numbers again.
  wal_level: 'replica',
  max_wal_senders: '0',
  min_wal_size: '32MB',
  max_wal_size: '256MB',
  checkpoint_timeout: '15min',
  max_parallel_workers_per_gather: '0',
  io_method: 'sync',
  autovacuum_naptime: '10s',
  jit: 'off',
  random_page_cost: '1.1',
  huge_pages: 'off',
  log_checkpoints: 'off',
  log_min_messages: 'warning',
};

const POLL = 20;
const START_TIMEOUT = 300_000;
const FAST_SHUTDOWN = 20_000;

export interface EmbeddedLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

/** A running server: `exited` resolves when it ends for whatever reason. */
export interface Postmaster {
  readonly pid: number;
  readonly exited: Promise<void>;
  /** Fast shutdown: sessions are ended, what is in memory is written; killed when that takes too long. */
  stop(): Promise<void>;
}

/** Starts the server and waits until it takes connections, recovery from a crash included. */
export async function startPostmaster(
  { binaries, home, owner }: Placement,
  sockets: string,
  log: EmbeddedLog,
): Promise<Postmaster> {
  const data = join(home, 'data');
  const options = { ...settings, unix_socket_directories: sockets };
  const flags = Object.entries(options).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const child = spawn('/bin/sh', ['-c', SUPERVISOR, 'sh', join(binaries, 'bin', 'postgres'), '-D', data, ...flags], {
    ...owner,
    cwd: '/',
    env: environment,
    detached: true,
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  // The supervisor may be gone when we close its pipe.
  child.stdin.on('error', () => {});
  const exited = new Deferred();
  child.once('exit', () => exited.resolve());
  child.once('error', () => exited.resolve());
  const last: string[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => {
    last.push(line);
    if (last.length > 10) last.shift();
    log.debug({ output: line }, 'PostgreSQL says');
  });
  const stop = () => stopChild(child, exited.promise);
  const pid = await untilReady(data, exited.promise);
  if (pid !== undefined) return { pid, exited: exited.promise, stop };
  await stop();
  throw new Error(`PostgreSQL did not start: ${last.join('\n') || 'it said nothing'}`);
}

/** Stops a server that a killed process left on this directory. The caller holds the directory's lock. */
export async function stopOrphan(data: string, log: EmbeddedLog): Promise<void> {
  const file = join(data, 'postmaster.pid');
  const pid = Number(lines(file)[0]);
  const start = pid > 0 ? startOf(pid) : undefined;
  if (start !== undefined && commandOf(pid).includes(data)) {
    log.warn({ pid }, 'stopping the PostgreSQL that a killed process left behind');
    const gone = async (ms: number) => {
      for (let waited = 0; waited < ms && startOf(pid) === start; waited += POLL) await sleep(POLL);
      return startOf(pid) !== start;
    };
    signal(pid, 'SIGINT');
    if (!(await gone(FAST_SHUTDOWN))) {
      signal(pid, 'SIGKILL');
      if (!(await gone(FAST_SHUTDOWN))) throw new Error(`PostgreSQL (process ${pid}) on ${data} cannot be stopped`);
    }
  }
  // A number that another program has since got would keep PostgreSQL from starting.
  rmSync(file, { force: true });
}

/** The server's process id, or nothing when it ended or took too long. */
async function untilReady(data: string, exited: Promise<void>): Promise<number | undefined> {
  let over = false;
  void exited.then(() => {
    over = true;
  });
  for (let waited = 0; waited < START_TIMEOUT && !over; waited += POLL) {
    // What pg_ctl reads too: line 1 is the process, line 8 its state.
    const [pid, , , , , , , state] = lines(join(data, 'postmaster.pid'));
    if (state?.trim() === 'ready') return Number(pid);
    await Promise.race([sleep(POLL), exited]);
  }
  return undefined;
}

async function stopChild(child: ChildProcess, exited: Promise<void>): Promise<void> {
  child.stdin?.end();
  const ended = await Promise.race([exited.then(() => true), sleep(FAST_SHUTDOWN).then(() => false)]);
  if (ended) return;
  // The group has the supervisor and the postmaster; the others end when they see that it is gone.
  if (child.pid) signal(-child.pid, 'SIGKILL');
  await exited;
}

function lines(file: string): string[] {
  try {
    return readFileSync(file, 'utf8').split('\n');
  } catch {
    return [];
  }
}
