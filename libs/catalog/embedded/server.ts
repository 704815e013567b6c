import { mkdirSync } from 'node:fs';
import { setPriority } from 'node:os';
import { join, resolve } from 'node:path';
import { Client } from 'pg';
import { backoff, sleep } from '#async';
import { createCluster, DATABASE, passwordOf, ROLE } from './cluster.js';
import { lockDirectory } from './lock.js';
import { ownDirectory, type Placement, place, SYSTEM_DIRECTORY, socketDirectory } from './placement.js';
import { type EmbeddedLog, type Postmaster, startPostmaster, stopOrphan } from './postmaster.js';

export interface EmbeddedPostgres {
  /** For the `url` of `connectCatalog` and `migrate`; the same over restarts of the server. Holds the password. */
  readonly url: string;
  /** For `ConnectionOptions.demote`: the session with this process id gets a thirtieth of the processor while others want it. */
  demote(pid: number): void;
  /** Ends sessions, writes everything, and waits for the end of the server. May be called more than once. */
  stop(): Promise<void>;
}

export interface EmbeddedPostgresOptions {
  /** A directory of its own; made when missing. Its data is found again whatever place it was given. */
  readonly dataDir: string;
  readonly log: EmbeddedLog;
  /** Where root places what another user cannot reach in `dataDir`. Default `/var/lib/ociregistry`. */
  readonly systemDir?: string;
}

/** 36 parts of the processor beside 1,024 of everybody else. */
const NICE = 15;
const RESTART_FIRST = 200;
const RESTART_MOST = 30_000;

/**
 * A private PostgreSQL as a child process, reached through a Unix socket with a random password. It ends with us, also
 * when we are killed, and is started again when it dies. Rejects with an Error that says what to do when another
 * server runs on `dataDir`, or this one cannot run.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { log } = options;
  const directory = resolve(options.dataDir);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const unlock = lockDirectory(directory);
  try {
    const placement = await place(directory, options.systemDir ?? SYSTEM_DIRECTORY);
    const password = passwordOf(directory);
    const sockets = socketDirectory(placement.home);
    const start = () => startServer(placement, sockets, log);
    await stopOrphan(join(placement.home, 'data'), log);
    await createCluster(placement, password);
    const server = await start();
    const url = (name: string) =>
      `postgresql://${ROLE}:${password}@localhost/${name}?host=${encodeURIComponent(sockets)}`;
    try {
      await createDatabase(url('postgres'));
    } catch (error) {
      await server.stop();
      throw error;
    }
    const stop = keepRunning(server, start, log);
    log.info({ data: placement.home }, 'private PostgreSQL is running');
    let stopping: Promise<void> | undefined;
    return {
      url: url(DATABASE),
      demote: (pid) => {
        try {
          setPriority(pid, NICE);
        } catch (error) {
          log.debug({ error: String(error) }, 'cannot lower the priority of a session');
        }
      },
      stop: () => {
        stopping ??= stop().finally(unlock);
        return stopping;
      },
    };
  } catch (error) {
    unlock();
    throw error;
  }
}

async function startServer(placement: Placement, sockets: string, log: EmbeddedLog): Promise<Postmaster> {
  await stopOrphan(join(placement.home, 'data'), log);
  ownDirectory(sockets, placement.owner);
  return startPostmaster(placement, sockets, log);
}

/** Starts the server again whenever it ends by itself. Returns what stops it for good. */
function keepRunning(first: Postmaster, start: () => Promise<Postmaster>, log: EmbeddedLog) {
  const stopped = new AbortController();
  let server: Postmaster | undefined = first;
  const run = async () => {
    for (let failures = 0; ; ) {
      if (server) {
        await server.exited;
        failures = 0;
      }
      if (stopped.signal.aborted) return;
      log.warn({}, 'PostgreSQL ended unexpectedly, starting it again');
      try {
        server = await start();
        if (stopped.signal.aborted) await server.stop();
      } catch (error) {
        server = undefined;
        log.warn({ error: String(error) }, 'PostgreSQL cannot be started');
        await sleep(backoff(failures++, RESTART_FIRST, RESTART_MOST), stopped.signal).catch(() => {});
      }
    }
  };
  const running = run();
  return async () => {
    stopped.abort();
    await server?.stop();
    await running;
  };
}

async function createDatabase(url: string): Promise<void> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 30_000, query_timeout: 60_000 });
  // The query rejects; without a listener the event would end the process.
  client.on('error', () => {});
  try {
    await client.connect();
    const found = await client.query('SELECT FROM pg_database WHERE datname = $1', [DATABASE]);
    if (found.rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE}`);
  } finally {
    await client.end().catch(() => {});
  }
}
