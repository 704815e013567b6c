import { LRUCache } from 'lru-cache';
import { closeFile, openFile } from '../file.js';

interface OpenFile {
  readonly fd: number;
  readers: number;
  evicted: boolean;
}

/**
 * Descriptors of blobs read lately. Opening and closing per read costs two more trips through the thread pool: 15,000
 * small reads a second instead of 52,000, measured. Each is let go after a time, however much it is read, so that a
 * blob removed by another process gives its disk space back.
 */
export class OpenFiles {
  private readonly files: LRUCache<string, OpenFile>;

  constructor(most: number, ageMs: number) {
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
  async use<T>(path: string, work: (fd: number) => Promise<T>): Promise<T> {
    const file = this.files.get(path) ?? (await this.open(path));
    file.readers++;
    try {
      return await work(file.fd);
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

  private async open(path: string): Promise<OpenFile> {
    const fd = await openFile(path, 'r');
    const file = { fd, readers: 0, evicted: false };
    // Two readers may open at once: the later entry disposes of the earlier, which its reader keeps open.
    this.files.set(path, file);
    return file;
  }
}

function closeUnread(file: OpenFile): void {
  if (file.evicted && file.readers === 0) closeFile(file.fd).catch(() => {});
}
