import { createReadStream } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { TarMember } from './write-tar.js';

/**
 * The regular files below a directory, in the order of their names. Links and special files are refused: what they
 * point to is not the layout's.
 */
export async function* packDirectory(root: string, below = ''): AsyncGenerator<TarMember> {
  const names = (await readdir(join(root, below))).sort();
  for (const name of names) {
    const path = below === '' ? name : `${below}/${name}`;
    const file = join(root, path);
    const stats = await lstat(file);
    if (stats.isDirectory()) yield* packDirectory(root, path);
    else if (stats.isFile())
      yield { path, size: stats.size, body: createReadStream(file, { highWaterMark: 256 * 1024 }) };
    else throw new Error(`${file} is neither file nor directory`);
  }
}
