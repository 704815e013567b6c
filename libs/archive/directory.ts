import { constants, createReadStream } from 'node:fs';
import { lstat, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { slicesOf } from './slices.js';
import type { TarMember } from './write-tar.js';

/** What the Go server keeps in its image directory, which may be our data directory as well. */
const GO_DIRECTORIES = ['fat', 'img'];
const GO_FILE = /^(fat|img)\/(sha256:)?[0-9a-f]{64}$|^blobs\/[0-9a-f]{64}$/;

/**
 * The regular files below a directory, in the order of their names. Links and special files are refused: what they
 * point to is not the layout's. Of an image directory of the Go server only what is the Go server's, as ours may lie in it.
 */
export async function* packDirectory(root: string): AsyncGenerator<TarMember> {
  for await (const { path, size } of filesOf(root))
    yield { path, size, body: createReadStream(join(root, path), { highWaterMark: 256 * 1024 }) };
}

/** The same for an import on this machine: a chunk is good until the next is asked for. */
export async function* readDirectory(root: string): AsyncGenerator<TarMember> {
  for await (const { path, size } of filesOf(root)) yield { path, size, body: bodyOf(join(root, path), size) };
}

async function* bodyOf(path: string, size: number): AsyncGenerator<Buffer> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    let left = size;
    for await (const slice of slicesOf(file, true)) {
      yield slice.subarray(0, left);
      left -= slice.length;
      if (left <= 0) return;
    }
    if (left > 0) throw new Error(`${path} became shorter while it was read`);
  } finally {
    await file.close();
  }
}

type Found = Pick<TarMember, 'path' | 'size'>;

async function* filesOf(root: string): AsyncGenerator<Found> {
  const names = await readdir(root);
  const layout = names.includes('oci-layout') || names.includes('index.json');
  if (layout || !GO_DIRECTORIES.some((name) => names.includes(name))) return yield* filesBelow(root, '');
  for (const directory of ['blobs', ...GO_DIRECTORIES]) {
    const found = names.includes(directory) ? await readdir(join(root, directory)) : [];
    for (const name of found.sort()) {
      const path = `${directory}/${name}`;
      const stats = await lstat(join(root, path));
      if (GO_FILE.test(path) && stats.isFile()) yield { path, size: stats.size };
    }
  }
}

async function* filesBelow(root: string, below: string): AsyncGenerator<Found> {
  const names = (await readdir(join(root, below))).sort();
  for (const name of names) {
    const path = below === '' ? name : `${below}/${name}`;
    const stats = await lstat(join(root, path));
    if (stats.isDirectory()) yield* filesBelow(root, path);
    else if (stats.isFile()) yield { path, size: stats.size };
    else throw new Error(`${join(root, path)} is neither file nor directory`);
  }
}
