import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { getPriority, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { transformFileSync } from '@swc/core';
import { Client } from 'pg';
import { connectCatalog, type EmbeddedPostgres, migrate, startEmbeddedPostgres } from '../adapters.js';
import { startOf } from './processes.js';

jest.setTimeout(120_000);

const ROOT = join(__dirname, '../../..');
const log = { debug: () => {}, info: () => {}, warn: () => {} };
const asRoot = process.getuid?.() === 0 ? describe : describe.skip;
const NOBODY = 65534;

async function ask(url: string, sql: string): Promise<unknown> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  client.on('error', () => {});
  try {
    await client.connect();
    return (await client.query(sql)).rows[0];
  } finally {
    await client.end().catch(() => {});
  }
}

/** Asks again until `check` holds; the test's own time-out is the bound. */
async function until<T>(check: () => T | Promise<T>): Promise<NonNullable<T>> {
  for (;;) {
    const value = await check();
    if (value) return value;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const postmasterOf = (home: string) => Number(readFileSync(join(home, 'data/postmaster.pid'), 'utf8').split('\n')[0]);

/** The library as JavaScript, for processes of their own that can be killed or belong to another user. */
function compile(to: string): string {
  for (const folder of ['libs/async', 'libs/catalog/embedded'])
    for (const file of readdirSync(join(ROOT, folder)).filter((name) => /(?<!spec)\.ts$/.test(name))) {
      const options = { configFile: join(ROOT, '.swcrc'), sourceMaps: false };
      const place = join(to, 'dist', folder, file.replace(/ts$/, 'js'));
      mkdirSync(dirname(place), { recursive: true });
      writeFileSync(place, transformFileSync(join(ROOT, folder, file), options).code);
    }
  cpSync(join(ROOT, 'package.json'), join(to, 'package.json'));
  symlinkSync(join(ROOT, 'node_modules'), join(to, 'node_modules'));
  const main = join(to, 'main.js');
  writeFileSync(
    main,
    `import { startEmbeddedPostgres } from './dist/libs/catalog/embedded/server.js';
     const log = { debug() {}, info() {}, warn() {} };
     const postgres = await startEmbeddedPostgres({ ...JSON.parse(process.argv[2]), log });
     console.log(postgres.url);
     process.on('SIGTERM', async () => { await postgres.stop(); process.exit(0); });
     setInterval(() => {}, 1000);`,
  );
  return main;
}

describe('the private PostgreSQL of a standalone server', () => {
  let base: string;
  let main: string;
  let dataDir: string;
  let systemDir: string;
  const open: EmbeddedPostgres[] = [];
  const children: ChildProcess[] = [];

  const withData = () => execFileSync('cp', ['-a', join(base, 'template'), dataDir]);
  const start = async () => {
    const postgres = await startEmbeddedPostgres({ dataDir, systemDir, log });
    open.push(postgres);
    return postgres;
  };
  /** In a process of its own; gives its URL. */
  const startElsewhere = async (user: { uid?: number; gid?: number } = {}) => {
    const child = spawn(process.execPath, [main, JSON.stringify({ dataDir, systemDir })], {
      ...user,
      cwd: '/',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.push(child);
    const [url] = (await Promise.race([
      new Promise((resolve) => createInterface({ input: child.stdout }).once('line', (line) => resolve([line]))),
      new Promise((_, reject) => child.once('exit', (code) => reject(new Error(`exit ${code}`)))),
    ])) as [string];
    return { child, url };
  };
  const ended = (child: ChildProcess) =>
    new Promise<void>((resolve) =>
      child.exitCode === null && !child.signalCode ? child.once('exit', () => resolve()) : resolve(),
    );

  beforeAll(async () => {
    base = mkdtempSync(join(tmpdir(), 'embedded-'));
    chmodSync(base, 0o755);
    main = compile(base);
    // Making a cluster takes longest; the tests that are not about it begin with a copy of this one.
    dataDir = join(base, 'template');
    await (await start()).stop();
    open.length = 0;
  });
  beforeEach(() => {
    const own = mkdtempSync(join(base, 't-'));
    chmodSync(own, 0o755);
    dataDir = join(own, 'postgres');
    systemDir = `${own}-system`;
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((postgres) => postgres.stop()));
    for (const child of children.splice(0)) {
      child.kill('SIGTERM');
      await ended(child);
    }
  });
  afterAll(() => rmSync(base, { recursive: true, force: true }));

  it('serves the catalog, and keeps it over a restart', async () => {
    const first = await start();
    await migrate({ url: first.url });
    const catalog = await connectCatalog({ url: first.url });
    await catalog.storeBlob({ upstream: 'u.example', path: 'p' }, `sha256:${'a'.repeat(64)}`, 3);
    await catalog.close();
    const pid = postmasterOf(dataDir);
    await Promise.all([first.stop(), first.stop()]);
    expect(startOf(pid)).toBeUndefined();
    await expect(ask(first.url, 'SELECT 1')).rejects.toThrow();
    const second = await start();
    expect(second.url).toBe(first.url);
    expect(await migrate({ url: second.url })).toEqual([]);
    expect(await ask(second.url, 'SELECT size FROM blobs')).toEqual({ size: '3' });
  });

  it('gives a session that plans less of the processor, and nobody else that session', async () => {
    withData();
    const postgres = await start();
    await migrate({ url: postgres.url });
    const sessions: { pid: number; priority: number }[] = [];
    const demote = (pid: number) => {
      postgres.demote(pid);
      sessions.push({ pid, priority: getPriority(pid) });
    };
    const catalog = await connectCatalog({ url: postgres.url, demote });
    await catalog.pruning.plan({}, { servedWithin: 0, keep: [], pins: [] }, 'request');
    expect(sessions).toEqual([{ pid: expect.any(Number), priority: 15 }]);
    await until(() => startOf(sessions[0]!.pid) === undefined);
    expect(await catalog.counts()).toMatchObject({ blobs: 0 });
    await catalog.close();
  });

  it('lets in nobody without the password, which only we can read', async () => {
    withData();
    const { url } = await start();
    const wrong = new URL(url);
    wrong.password = 'guess';
    await expect(ask(wrong.href, 'SELECT 1')).rejects.toThrow(/password/);
    expect(statSync(join(dataDir, 'password')).mode & 0o777).toBe(0o600);
    expect(
      await ask(url, `SELECT current_setting('listen_addresses') AS tcp, current_setting('fsync') AS fsync`),
    ).toEqual({
      tcp: '',
      fsync: 'on',
    });
  });

  it('comes back by itself when it is killed, with what was committed', async () => {
    withData();
    const { url } = await start();
    await ask(url, 'CREATE TABLE kept AS SELECT 1 AS one');
    await ask(url, 'CHECKPOINT');
    process.kill(postmasterOf(dataDir), 'SIGKILL');
    const row = await until(() => ask(url, 'SELECT one FROM kept').catch(() => undefined));
    expect(row).toEqual({ one: 1 });
  });

  it('goes when the process that started it is killed, and the next start need not wait for that', async () => {
    withData();
    const { child, url } = await startElsewhere();
    await ask(url, 'CREATE TABLE kept AS SELECT 1 AS one');
    const orphan = postmasterOf(dataDir);
    child.kill('SIGKILL');
    await ended(child);
    const { url: again } = await start();
    expect(startOf(orphan)).toBeUndefined();
    expect(await ask(again, 'SELECT one FROM kept')).toEqual({ one: 1 });
  });

  it('goes by itself when the process that started it is killed', async () => {
    withData();
    const { child } = await startElsewhere();
    const orphan = postmasterOf(dataDir);
    child.kill('SIGKILL');
    await until(() => startOf(orphan) === undefined);
  });

  it('stops a server that nobody watches any more', async () => {
    withData();
    const { child, url } = await startElsewhere();
    const orphan = postmasterOf(dataDir);
    const supervisor = Number(readFileSync(`/proc/${orphan}/stat`, 'utf8').split(' ')[3]);
    const watchers = readFileSync(`/proc/${supervisor}/task/${supervisor}/children`, 'utf8')
      .trim()
      .split(' ')
      .map(Number);
    // Else it would see its supervisor go and act.
    child.kill('SIGSTOP');
    for (const pid of [supervisor, ...watchers.filter((pid) => pid !== orphan)]) process.kill(pid, 'SIGKILL');
    child.kill('SIGKILL');
    await ended(child);
    expect(await ask(url, 'SELECT 1 AS one')).toEqual({ one: 1 });
    await start();
    expect(startOf(orphan)).toBeUndefined();
  });

  it('refuses a second server on the same directory and names the first', async () => {
    withData();
    const { child, url } = await startElsewhere();
    await expect(start()).rejects.toThrow(`process ${child.pid}) runs on ${dataDir}`);
    expect(await ask(url, 'SELECT 1 AS one')).toEqual({ one: 1 });
    child.kill('SIGTERM');
    await ended(child);
    await start();
    await expect(start()).rejects.toThrow(`process ${process.pid})`);
  });

  it('takes a lock over whose process is another one now, and a file that makes no sense', async () => {
    withData();
    for (const content of [JSON.stringify({ pid: process.pid, start: '1' }), 'nonsense']) {
      writeFileSync(join(dataDir, 'server.lock'), content);
      await (await start()).stop();
      expect(existsSync(join(dataDir, 'server.lock'))).toBe(false);
    }
  });

  it('begins anew what a killed first start left half-made, and ignores a stale process file', async () => {
    mkdirSync(join(dataDir, 'data.draft/base'), { recursive: true });
    await (await start()).stop();
    // A process that lives and is no PostgreSQL.
    writeFileSync(join(dataDir, 'data/postmaster.pid'), `${process.pid}\n${join(dataDir, 'data')}\n`);
    const { url } = await start();
    expect(await ask(url, 'SELECT 1 AS one')).toEqual({ one: 1 });
  });

  it('refuses data of another major version', async () => {
    withData();
    writeFileSync(join(dataDir, 'data/PG_VERSION'), '12\n');
    await expect(start()).rejects.toThrow(/written by PostgreSQL 12/);
    expect(existsSync(join(dataDir, 'server.lock'))).toBe(false);
  });

  it('says what the server said when it cannot start', async () => {
    withData();
    writeFileSync(join(dataDir, 'data/postgresql.conf'), 'nonsense\n');
    await expect(start()).rejects.toThrow(/did not start: .*nonsense|syntax error/s);
  });

  it('has room for its socket below a long path', async () => {
    dataDir = join(dataDir, 'd'.repeat(120));
    const { url } = await start();
    expect(await ask(url, 'SELECT 1 AS one')).toEqual({ one: 1 });
  });

  asRoot('as root', () => {
    it('runs as another user in the data directory when that user can reach it', async () => {
      await start();
      const { uid } = statSync(join(dataDir, 'data'));
      expect(uid).not.toBe(0);
      expect(readFileSync(`/proc/${postmasterOf(dataDir)}/status`, 'utf8')).toMatch(
        new RegExp(`^Uid:\\s+${uid}\\s+${uid}\\s`, 'm'),
      );
    });

    it('places the data elsewhere below a closed directory, and finds it there ever after', async () => {
      chmodSync(dirname(dataDir), 0o700);
      const { url, stop } = await start();
      await ask(url, 'CREATE TABLE kept AS SELECT 1 AS one');
      await stop();
      expect(existsSync(join(dataDir, 'data'))).toBe(false);
      chmodSync(dirname(dataDir), 0o755);
      expect(await ask((await start()).url, 'SELECT one FROM kept')).toEqual({ one: 1 });
    });

    it('says so when the data is there and its user cannot reach it any more', async () => {
      withData();
      chmodSync(dirname(dataDir), 0o700);
      await expect(start()).rejects.toThrow(/cannot reach its data/);
    });

    it('runs for a plain user as that user, and for root later as the same', async () => {
      mkdirSync(dataDir);
      const { chownSync } = await import('node:fs');
      chownSync(dataDir, NOBODY, NOBODY);
      const { child, url } = await startElsewhere({ uid: NOBODY, gid: NOBODY });
      expect(statSync(join(dataDir, 'data')).uid).toBe(NOBODY);
      await ask(url, 'CREATE TABLE kept AS SELECT 1 AS one');
      child.kill('SIGTERM');
      await ended(child);
      expect(await ask((await start()).url, 'SELECT one FROM kept')).toEqual({ one: 1 });
    });
  });
});
