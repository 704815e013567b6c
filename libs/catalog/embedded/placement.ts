import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, chownSync, existsSync, mkdirSync, realpathSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { copyBinaries, findBinaries } from './binaries.js';

/** Who PostgreSQL runs as; nothing for the user that we are. */
export interface Owner {
  readonly uid?: number;
  readonly gid?: number;
}

export interface Placement {
  readonly owner: Owner;
  /** Has `bin`. */
  readonly binaries: string;
  /** Holds `data` and, where its path is short enough, the socket. */
  readonly home: string;
}

/** The parent of what root places for another user when that user cannot reach the data directory. */
export const SYSTEM_DIRECTORY = '/var/lib/ociregistry';

/**
 * PostgreSQL refuses to run as root, so root gives it to another user, who must reach programs and data. Below a
 * directory that others may not enter (a 0700 home) both are placed in `system`, at a path made from the data
 * directory's own, so that the next start finds it. Data that is there already stays where it is, with its owner.
 */
export async function place(directory: string, system: string): Promise<Placement> {
  const binaries = findBinaries();
  if (process.getuid?.() !== 0) {
    const own = binaries.complete ? binaries.directory : await copyBinaries(binaries, join(directory, 'bin'));
    return { owner: {}, binaries: own, home: directory };
  }
  // Its secrets are files of their own mode.
  chmodSync(directory, 0o711);
  const hash = createHash('sha256').update(realpathSync(directory)).digest('hex').slice(0, 16);
  const elsewhere = join(system, `postgres-${hash}`);
  const existing = [directory, elsewhere].find((home) => existsSync(join(home, 'data', 'PG_VERSION')));
  const owner = existing ? ownerOf(join(existing, 'data')) : unprivilegedUser();
  let home = existing ?? directory;
  if (!canEnter(owner, home)) {
    if (existing)
      throw new Error(
        `user ${owner.uid} cannot reach its data in ${existing}: a directory above it is closed to others`,
      );
    home = elsewhere;
  }
  if (home === elsewhere) {
    open(system);
    open(home);
  }
  if (binaries.complete && canEnter(owner, join(binaries.directory, 'bin')))
    return { owner, binaries: binaries.directory, home };
  open(system);
  return { owner, binaries: await copyBinaries(binaries, join(system, 'bin')), home };
}

/** An empty directory for the owner alone. Never one that somebody else made in a shared place before us. */
export function ownDirectory(path: string, { uid, gid }: Owner): string {
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path, { mode: 0o700 });
  if (uid !== undefined && gid !== undefined) chownSync(path, uid, gid);
  return path;
}

/** The longest path of a socket that every system takes: macOS has 104 bytes with the closing zero. */
const SOCKET_PATH = 103 - '/.s.PGSQL.5432'.length;

/** Where the socket goes; a data directory with a long path needs another. */
export function socketDirectory(home: string): string {
  const near = join(home, 'run');
  if (Buffer.byteLength(near) <= SOCKET_PATH) return near;
  const hash = createHash('sha256').update(home).digest('hex').slice(0, 16);
  const name = `ociregistry-${hash}`;
  return join(Buffer.byteLength(join(tmpdir(), name)) <= SOCKET_PATH ? tmpdir() : '/tmp', name);
}

function open(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o711 });
  chmodSync(path, statSync(path).mode | 0o011);
}

function ownerOf(path: string): Owner {
  const { uid, gid } = statSync(path);
  if (uid === 0) throw new Error(`${path} belongs to root; PostgreSQL needs it to belong to another user`);
  return { uid, gid };
}

function unprivilegedUser(): Owner {
  for (const name of ['postgres', 'nobody']) {
    const id = (flag: string) => Number(execFileSync('id', [flag, name], { encoding: 'utf8', stdio: 'pipe' }));
    try {
      return { uid: id('-u'), gid: id('-g') };
    } catch {}
  }
  throw new Error('PostgreSQL does not run as root, and there is neither a user postgres nor nobody; set metadata.url');
}

/** Asked as that user, since permissions are more than mode bits. */
function canEnter(owner: Owner, path: string): boolean {
  return spawnSync('/bin/sh', ['-c', 'cd -- "$1"', 'sh', path], { ...owner, cwd: '/', stdio: 'ignore' }).status === 0;
}
