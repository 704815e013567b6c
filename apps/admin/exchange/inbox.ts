import { lstat, mkdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readDirectory, readTarFile } from '#archive';
import type { Archive, ArchiveEntry } from '#registry';

/** What the sender saw of the file: in another container the same path may be another file. */
export interface Seen {
  readonly inode: string;
  readonly size: number;
}

/**
 * A directory in which only this server's user may make links, to archives on this machine: who can put one there can read
 * with the server's eyes anyway. Such an archive is read in place, which takes a fraction of the time of sending it.
 */
export class Inbox {
  private usable = false;
  /** Bytes of members that were read, by link. */
  private readonly running = new Map<string, number>();

  constructor(readonly path: string) {}

  /** Makes it. One that others can write to is not used. */
  async open(): Promise<void> {
    await mkdir(this.path, { recursive: true, mode: 0o700 });
    const { mode, uid } = await lstat(this.path);
    if ((mode & 0o077) !== 0 || uid !== process.getuid?.()) throw new Error(`${this.path} is not for this user alone`);
    this.usable = true;
  }

  /** Undefined when the link is not there, cannot be followed, or leads to another file than `seen`. */
  async read(name: string, seen: Seen): Promise<Archive | undefined> {
    if (!this.usable) return undefined;
    try {
      const path = await realpath(join(this.path, name));
      const { ino, size } = await stat(path, { bigint: true });
      if (String(ino) !== seen.inode || Number(size) !== seen.size) return undefined;
      return this.counted(name, (await stat(path)).isDirectory() ? readDirectory(path) : readTarFile(path));
    } catch {
      return undefined;
    }
  }

  /** Undefined when none is being read under that name. */
  bytesRead(name: string): number | undefined {
    return this.running.get(name);
  }

  private async *counted(name: string, archive: Archive): AsyncGenerator<ArchiveEntry> {
    const { running } = this;
    async function* counting(body: AsyncIterable<Buffer>) {
      for await (const chunk of body) {
        running.set(name, (running.get(name) ?? 0) + chunk.length);
        yield chunk;
      }
    }
    running.set(name, 0);
    try {
      for await (const entry of archive) yield { ...entry, body: counting(entry.body) };
    } finally {
      running.delete(name);
    }
  }
}
