import { createReadStream } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { TarMember } from './write-tar.js';

/** What the Go server keeps in its image directory, which may be our data directory as well. */
const GO_DIRECTORIES = ['fat', 'img'];
const GO_FILE = /^(fat|img)\/(sha256:)?[0-9a-f]{64}$|^blobs\/[0-9a-f]{64}$/;

/**
 * The regular files below a directory, in the order of their names. Links and special files are refused: what they
 * point to is not the layout's. Of an image directory of the Go server only what is the Go server's, as ours may lie in it.
 */
export async function* packDirectory(root: string): AsyncGenerator<TarMember> {
  const names = await readdir(root);
  const layout = names.includes('oci-layout') || names.includes('index.json');
  if (layout || !GO_DIRECTORIES.some((name) => names.includes(name))) return yield* filesBelow(root, '');
  for (const directory of ['blobs', ...GO_DIRECTORIES]) {
    const found = names.includes(directory) ? await readdir(join(root, directory)) : [];
    for (const name of found.sort()) {
      const path = `${directory}/${name}`;
      const stats = await lstat(join(root, path));
      if (GO_FILE.test(path) && stats.isFile()) yield member(root, path, stats.size);
    }
  }
}

async function* filesBelow(root: string, below: string): AsyncGenerator<TarMember> {
  const names = (await readdir(join(root, below))).sort();
  for (const name of names) {
    const path = below === '' ? name : `${below}/${name}`;
    const stats = await lstat(join(root, path));
    if (stats.isDirectory()) yield* filesBelow(root, path);
    else if (stats.isFile()) yield member(root, path, stats.size);
    else throw new Error(`${join(root, path)} is neither file nor directory`);
  }
}

function member(root: string, path: string, size: number): TarMember {
  return { path, size, body: createReadStream(join(root, path), { highWaterMark: 256 * 1024 }) };
}
