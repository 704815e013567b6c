import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Client as S3Client } from 'minio';
import { Client as PgClient } from 'pg';
import { socketDirectory } from '../../libs/catalog/embedded/placement.js';
import type { S3Service } from './services/index.js';

/** The committed blobs of an installation, behind the back of its servers. */
export interface StoredBlobs {
  has(digest: string): Promise<boolean>;
  remove(digest: string): Promise<void>;
  /** Leaves only the first `size` bytes. */
  truncate(digest: string, size: number): Promise<void>;
  replace(digest: string, bytes: Buffer): Promise<void>;
  /** Multipart uploads that nobody has completed. */
  unfinished(): Promise<string[]>;
  /** The journal beside the blobs: names of its segments. */
  segments(): Promise<string[]>;
  /** Overwrites a segment. */
  writeSegment(name: string, bytes: Buffer): Promise<void>;
}

export const BUCKET = 'ociregistry';

const keyOf = (digest: string) => {
  const [algorithm, hex = ''] = digest.split(':');
  return `blobs/${algorithm}/${hex.slice(0, 2)}/${hex}`;
};

export function filesOf(directory: string): StoredBlobs {
  const file = (digest: string) => join(directory, keyOf(digest));
  return {
    has: async (digest) => existsSync(file(digest)),
    remove: async (digest) => rmSync(file(digest)),
    truncate: async (digest, size) => truncateSync(file(digest), size),
    replace: async (digest, bytes) => writeFileSync(file(digest), bytes),
    unfinished: async () => [],
    segments: async () =>
      existsSync(join(directory, 'journal'))
        ? (readdirSync(join(directory, 'journal'), { recursive: true }) as string[]).filter((name) =>
            name.endsWith('.gz'),
          )
        : [],
    writeSegment: async (name, bytes) => {
      mkdirSync(dirname(join(directory, 'journal', name)), { recursive: true });
      writeFileSync(join(directory, 'journal', name), bytes);
    },
  };
}

export function objectsOf({ port, accessKey, secretKey, region }: S3Service): StoredBlobs {
  const client = new S3Client({ endPoint: '127.0.0.1', port, useSSL: false, accessKey, secretKey, region });
  return {
    has: (digest) =>
      client.statObject(BUCKET, keyOf(digest)).then(
        () => true,
        () => false,
      ),
    remove: (digest) => client.removeObject(BUCKET, keyOf(digest)),
    truncate: async (digest, size) => {
      const chunks: Buffer[] = [];
      for await (const chunk of await client.getPartialObject(BUCKET, keyOf(digest), 0, size)) chunks.push(chunk);
      await client.putObject(BUCKET, keyOf(digest), Buffer.concat(chunks));
    },
    replace: async (digest, bytes) => void (await client.putObject(BUCKET, keyOf(digest), bytes)),
    unfinished: async () => {
      const { uploads } = await client.listIncompleteUploadsQuery(BUCKET, '', '', '', '');
      return uploads.map(({ key }) => key);
    },
    segments: async () => {
      const names: string[] = [];
      for await (const { name } of client.listObjectsV2(BUCKET, 'journal/', true))
        names.push(String(name).slice('journal/'.length));
      return names;
    },
    writeSegment: async (name, bytes) => void (await client.putObject(BUCKET, `journal/${name}`, bytes)),
  };
}

/** Files of running downloads in a spool directory. */
export function spoolFiles(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory).filter((name) => /^sha(256|512)-/.test(name)) : [];
}

/** The URL of the private PostgreSQL of a standalone server. */
export function embeddedUrl(dataDir: string): string {
  const home = join(dataDir, 'postgres');
  const password = readFileSync(join(home, 'password'), 'utf8');
  return `postgresql://ociregistry:${password}@localhost/ociregistry?host=${encodeURIComponent(socketDirectory(home))}`;
}

/** Rows of one question to an installation's database. */
export async function query(url: string, sql: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
  const client = new PgClient({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql, values)).rows;
  } finally {
    await client.end();
  }
}

/** The process id of that PostgreSQL; undefined while it does not run. */
export function embeddedPid(dataDir: string): number | undefined {
  const file = join(dataDir, 'postgres', 'data', 'postmaster.pid');
  const pid = existsSync(file) ? Number(readFileSync(file, 'utf8').split('\n')[0]) : 0;
  return pid > 0 && existsSync(`/proc/${pid}`) ? pid : undefined;
}

/** Runs `work` while nobody can write to `table`; the lock ends with it. */
export async function whileLocked<T>(url: string, table: string, work: (unlock: () => Promise<void>) => Promise<T>) {
  const client = new PgClient({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  try {
    await client.query('BEGIN');
    await client.query(`LOCK TABLE ${table} IN SHARE MODE`);
    return await work(async () => void (await client.query('COMMIT')));
  } finally {
    await client.end().catch(() => {});
  }
}

/** Makes the database anew, while nobody is connected. */
export async function emptyDatabase(url: string): Promise<void> {
  const other = new URL(url);
  const name = other.pathname.slice(1);
  other.pathname = '/postgres';
  const client = new PgClient({ connectionString: other.href });
  await client.connect();
  try {
    await client.query(`DROP DATABASE ${name} WITH (FORCE)`);
    await client.query(`CREATE DATABASE ${name}`);
  } finally {
    await client.end();
  }
}
