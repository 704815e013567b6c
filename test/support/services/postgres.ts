import { execFile } from 'node:child_process';
import { chown, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { programPath } from './local.js';
import type { LocalCommand, Service } from './service.js';
import { startService } from './start.js';

const user = 'ociregistry';
const password = 'ociregistry-test';
const database = 'ociregistry';

export interface PostgresService extends Service {
  user: string;
  password: string;
  database: string;
  /** `postgres://user:password@host:port/database`, a superuser. */
  url: string;
  /** Makes an empty database of that name on the same server and gives its URL. */
  createDatabase(name: string): Promise<string>;
}

/**
 * PostgreSQL with password authentication. Durability against a power cut is off, against a killed process on.
 * Without `version` it is the one at hand: 17 in a container, 18 (the embedded one) locally.
 */
export async function startPostgres({ version }: { version?: 15 | 17 | 18 } = {}): Promise<PostgresService> {
  const service = await startService({
    name: 'postgres',
    container: {
      image: `postgres:${version ?? 17}`,
      port: 5432,
      env: { POSTGRES_USER: user, POSTGRES_PASSWORD: password, POSTGRES_DB: database },
      command: ['postgres', '-c', 'fsync=off'],
    },
    local: (directory, port) => localPostgres(directory, port, version ?? 18),
    probe: (port) => query(url(port, database), 'SELECT 1'),
  });
  return Object.assign(service, {
    user,
    password,
    database,
    url: url(service.port, database),
    async createDatabase(name: string) {
      if (!/^[a-z_][a-z0-9_]*$/.test(name)) throw new Error(`not a plain database name: ${name}`);
      await query(url(service.port, database), `CREATE DATABASE ${name}`);
      return url(service.port, name);
    },
  });
}

function url(port: number, name: string): string {
  return `postgres://${user}:${password}@127.0.0.1:${port}/${name}`;
}

async function query(connectionString: string, sql: string): Promise<void> {
  const client = new Client({ connectionString, connectionTimeoutMillis: 5_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query(sql);
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function localPostgres(directory: string, port: number, version: number): Promise<LocalCommand> {
  const binaries = await programPath(`postgres-${version}`);
  const owner = await unprivilegedUser();
  const data = join(directory, 'data');
  const secret = join(directory, 'password');
  await rm(data, { recursive: true, force: true });
  await mkdir(data, { mode: 0o700 });
  await writeFile(secret, password, { mode: 0o600 });
  if (owner.uid !== undefined && owner.gid !== undefined) {
    await chown(data, owner.uid, owner.gid);
    await chown(secret, owner.uid, owner.gid);
  }
  const init = [
    '-D',
    data,
    '-U',
    user,
    `--pwfile=${secret}`,
    '--auth=scram-sha-256',
    '-E',
    'UTF8',
    '--locale=C',
    '--no-sync',
  ];
  await promisify(execFile)(join(binaries, 'initdb'), init, { ...owner, cwd: '/', env: { PATH: process.env.PATH } });
  // Single-user mode makes the database without a password round trip or a second start.
  const single = ['--single', '-D', data, '-c', 'fsync=off', 'postgres'];
  const child = promisify(execFile)(join(binaries, 'postgres'), single, { ...owner, cwd: '/', env: { TZ: 'UTC' } });
  child.child.stdin?.end(`CREATE DATABASE ${database};\n`);
  await child;
  const settings = { port, listen_addresses: '127.0.0.1', unix_socket_directories: '', fsync: 'off' };
  return {
    command: join(binaries, 'postgres'),
    args: ['-D', data, ...Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${value}`])],
    // Fast shutdown: ends sessions instead of waiting for them.
    stopSignal: 'SIGINT',
    ...owner,
  };
}

/** PostgreSQL refuses to run as root; then it runs as `postgres`, or `nobody` where that user is missing. */
export async function unprivilegedUser(): Promise<{ uid?: number; gid?: number }> {
  if (process.getuid?.() !== 0) return {};
  for (const name of ['postgres', 'nobody']) {
    const id = async (what: string) => Number((await promisify(execFile)('id', [what, name])).stdout);
    try {
      return { uid: await id('-u'), gid: await id('-g') };
    } catch {}
  }
  throw new Error('PostgreSQL does not run as root, and this machine has neither a user postgres nor nobody');
}
