import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chownSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Owner, ownDirectory, type Placement } from './placement.js';

/** The only role and the only database that we use. */
export const ROLE = 'ociregistry';
export const DATABASE = 'ociregistry';

/** Nothing of ours, and no PG... variable, decides how the server behaves. */
export const environment = { PATH: process.env.PATH ?? '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };

const INITDB_TIMEOUT = 120_000;

/** Random, made once, readable by us alone. */
export function passwordOf(directory: string): string {
  const file = join(directory, 'password');
  if (!existsSync(file)) writeFileSync(file, randomBytes(24).toString('hex'), { mode: 0o600 });
  return readFileSync(file, 'utf8');
}

/** Makes the data directory when there is none. It appears whole: a start killed half-way leaves a draft, made anew. */
export async function createCluster({ home, binaries, owner }: Placement, password: string): Promise<void> {
  const data = join(home, 'data');
  const version = join(data, 'PG_VERSION');
  if (existsSync(version)) {
    const [found, ours] = [readFileSync(version, 'utf8').trim(), await majorOf(binaries, owner)];
    if (found !== ours)
      throw new Error(`${data} was written by PostgreSQL ${found}, and this is ${ours}: dump it with that one`);
    return;
  }
  const draft = ownDirectory(join(home, 'data.draft'), owner);
  const secret = ownDirectory(join(home, 'secret'), owner);
  try {
    const file = join(secret, 'password');
    writeFileSync(file, password, { mode: 0o600 });
    if (owner.uid !== undefined && owner.gid !== undefined) chownSync(file, owner.uid, owner.gid);
    await run(
      join(binaries, 'bin', 'initdb'),
      ['-D', draft, '-U', ROLE, `--pwfile=${file}`, '--auth=scram-sha-256', '--encoding=UTF8', '--no-locale'],
      owner,
    );
    renameSync(draft, data);
  } finally {
    rmSync(secret, { recursive: true, force: true });
  }
}

async function majorOf(binaries: string, owner: Owner): Promise<string> {
  const stdout = await run(join(binaries, 'bin', 'postgres'), ['--version'], owner);
  return /(\d+)/.exec(stdout)?.[1] ?? '';
}

async function run(program: string, args: string[], owner: Owner): Promise<string> {
  try {
    const options = { ...owner, cwd: '/', env: environment, timeout: INITDB_TIMEOUT };
    return (await promisify(execFile)(program, args, options)).stdout;
  } catch (cause) {
    const { stderr, message } = cause as { stderr?: string; message: string };
    throw new Error(`${program} failed: ${stderr?.trim() || message}`, { cause });
  }
}
