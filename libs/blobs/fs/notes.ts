import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, stat, unlink } from 'node:fs/promises';
import path from 'node:path';
import { isCode } from '../file.js';
import { checkNoteName, type Notes } from '../notes.js';

/** Notes as files, `<directory>/journal/<name>`. What was not written to its end has a name that ends with `.partial`. */
export class FsNotes implements Notes {
  private readonly root: string;

  constructor(directory: string) {
    this.root = path.join(directory, 'journal');
  }

  async put(name: string, bytes: Buffer): Promise<void> {
    const target = this.file(name);
    await mkdir(path.dirname(target), { recursive: true });
    const partial = `${target}.${randomBytes(4).toString('hex')}.partial`;
    try {
      const file = await open(partial, 'wx');
      try {
        await file.writeFile(bytes);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(partial, target);
    } catch (error) {
      await unlink(partial).catch(() => {});
      throw error;
    }
  }

  async get(name: string): Promise<Buffer | undefined> {
    return readFile(this.file(name)).catch(missing);
  }

  async remove(name: string): Promise<void> {
    await unlink(this.file(name)).catch(missing);
  }

  async *list(below = ''): AsyncIterable<{ name: string; size: number }> {
    const entries = (await readdir(path.join(this.root, below), { withFileTypes: true }).catch(missing)) ?? [];
    for (const entry of entries) {
      const name = below === '' ? entry.name : `${below}/${entry.name}`;
      if (entry.isDirectory()) yield* this.list(name);
      else if (!name.endsWith('.partial')) {
        const found = await stat(path.join(this.root, name)).catch(missing);
        if (found) yield { name, size: found.size };
      }
    }
  }

  close(): void {}

  private file(name: string): string {
    return path.join(this.root, checkNoteName(name));
  }
}

function missing(error: unknown): undefined {
  if (!isCode(error, 'ENOENT')) throw error;
}
