import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { migrate, startEmbeddedPostgres } from '../adapters.js';
import { place } from './placement.js';

const log = { debug: () => {}, info: () => {}, warn: () => {} };

async function ask(url: string, sql: string): Promise<unknown> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql)).rows[0];
  } finally {
    await client.end();
  }
}

describe('the private PostgreSQL of a standalone server', () => {
  let dataDir: string;
  beforeEach(() => {
    // Mode 0700, as a home is: as root the cluster must move to where its user can reach it.
    dataDir = join(mkdtempSync(join(tmpdir(), 'ociregistry-test-')), 'postgres');
  });
  afterEach(() => {
    const { data } = place(dataDir);
    rmSync(data, { recursive: true, force: true });
    rmSync(join(dataDir, '..'), { recursive: true, force: true });
  });

  it('keeps what it was told over a restart', async () => {
    const first = await startEmbeddedPostgres({ dataDir, log });
    await migrate({ url: first.url });
    await ask(first.url, 'CREATE TABLE kept AS SELECT 1 AS one');
    await first.stop();
    const second = await startEmbeddedPostgres({ dataDir, log });
    expect(await ask(second.url, 'SELECT one FROM kept')).toEqual({ one: 1 });
    await second.stop();
    await expect(ask(second.url, 'SELECT 1')).rejects.toThrow();
  }, 60_000);

  it('comes back by itself when it is killed', async () => {
    const postgres = await startEmbeddedPostgres({ dataDir, log });
    await ask(postgres.url, 'CREATE TABLE kept AS SELECT 1 AS one');
    await ask(postgres.url, 'CHECKPOINT');
    const pid = Number(readFileSync(join(place(dataDir).data, 'cluster/postmaster.pid'), 'utf8').split('\n', 1)[0]);
    process.kill(pid, 'SIGKILL');
    let row: unknown;
    for (let i = 0; i < 200 && !row; i++) {
      row = await ask(postgres.url, 'SELECT one FROM kept').catch(
        () => new Promise((resolve) => setTimeout(resolve, 100)),
      );
    }
    expect(row).toEqual({ one: 1 });
    await postgres.stop();
  }, 60_000);

  it('leaves no process behind', async () => {
    const postgres = await startEmbeddedPostgres({ dataDir, log });
    await postgres.stop();
    expect(execFileSync('ps', ['-eo', 'args']).toString()).not.toContain(join(place(dataDir).data, 'cluster'));
  }, 60_000);
});
