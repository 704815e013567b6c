import { LRUCache } from 'lru-cache';
import { closeFile, openFile } from '../file.js';

export interface OpenFile<S> {
  readonly fd: number;
  /** What all that have it open share. */
  readonly shared: S;
}

interface Entry<S> extends OpenFile<S> {
  readers: number;
  evicted: boolean;
}

/**
 * Descriptors of blobs read lately. Opening and closing per read costs two more trips through the thread pool: 15,000
 * small reads a second instead of 52,000, measured. Each is let go after a time, however much it is read, so that a
 * blob removed by another process gives its disk space back.
 */
export class OpenFiles<S> {
  private readonly files: LRUCache<string, Entry<S>>;

  constructor(
    most: number,
    ageMs: number,
    private readonly share: (fd: number) => S,
  ) {
    this.files = new LRUCache({
      max: most,
      ttl: ageMs,
      ttlAutopurge: true,
      dispose: (file) => {
        file.evicted = true;
        closeUnread(file);
      },
    });
  }

  /** Runs `work` with the file open; it stays open until `work` settles, whatever happens to the entry. */
  async use<T>(path: string, work: (file: OpenFile<S>) => Promise<T>): Promise<T> {
    const file = this.files.get(path) ?? (await this.open(path));
    file.readers++;
    try {
      return await work(file);
    } finally {
      file.readers--;
      closeUnread(file);
    }
  }

  /** The file was removed or replaced: running reads finish on the old one, later ones open anew. */
  forget(path: string): void {
    this.files.delete(path);
  }

  close(): void {
    this.files.clear();
  }

  private async open(path: string): Promise<Entry<S>> {
    const fd = await openFile(path, 'r');
    const file = { fd, shared: this.share(fd), readers: 0, evicted: false };
    // Two readers may open at once: the later entry disposes of the earlier, which its reader keeps open.
    this.files.set(path, file);
    return file;
  }
}

function closeUnread(file: Entry<unknown>): void {
  if (file.evicted && file.readers === 0) closeFile(file.fd).catch(() => {});
}
