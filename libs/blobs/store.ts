import { randomBytes } from 'node:crypto';
import { readdir, stat, unlink } from 'node:fs/promises';
import path from 'node:path';
import type { Digest } from '#oci';
import type { BlobDriver } from './driver.js';
import { storeFailure } from './failures.js';
import { isCode } from './file.js';
import { VerifiedIngest } from './ingest.js';
import { OverflowRoom } from './overflow.js';
import type { BlobStore, Ingest, IngestOptions, Sink, Span, StoredBlob } from './port.js';
import { SpoolRoom } from './room.js';
import { SpoolFile } from './spool.js';

/** The rules of a blob store over any driver: ingests with their spool files, and failures clients may see. */
export class VerifiedBlobStore implements BlobStore {
  /** By the name of the spool file. */
  private readonly living = new Map<string, Ingest>();
  private readonly overflows = new OverflowRoom();
  private closed = false;

  constructor(
    private readonly driver: BlobDriver,
    private readonly spoolPath: string,
    private readonly room = new SpoolRoom(),
  ) {}

  async stat(digest: Digest): Promise<{ size: number } | undefined> {
    return this.driver.stat(digest).catch(fail);
  }

  read(digest: Digest, span: Span, sink: Sink, signal?: AbortSignal): Promise<void> {
    return this.driver.read(digest, span, sink, signal);
  }

  async link(digest: Digest, seconds: number): Promise<string | undefined> {
    return this.driver.link(digest, seconds).catch(fail);
  }

  async ingest(digest: Digest, options: IngestOptions = {}): Promise<Ingest> {
    if (this.closed) throw new Error('the blob store is closed');
    const room = await this.room.take(options.size, options.signal);
    const name = `${digest.replace(':', '-')}.${process.pid}-${randomBytes(8).toString('hex')}`;
    const { size, onFull } = options;
    const spool = new SpoolFile(
      path.join(this.spoolPath, name),
      this.driver.drains ? room.window : undefined,
      size,
      onFull && ((error) => ingest.fill(error)),
      this.overflows,
    );
    const upload = this.driver.upload(digest, spool, size);
    const ended = () => {
      this.living.delete(name);
      room.release();
    };
    const ingest: VerifiedIngest = new VerifiedIngest(digest, spool, upload, size, ended, onFull);
    this.living.set(name, ingest);
    return ingest;
  }

  async remove(digest: Digest): Promise<void> {
    await this.driver.remove(digest).catch(fail);
  }

  async *list(): AsyncIterable<StoredBlob> {
    try {
      yield* this.driver.list();
    } catch (error) {
      throw storeFailure(error);
    }
  }

  async sweep(olderThanMs: number, uploadsOlderThanMs = olderThanMs): Promise<number> {
    const before = Date.now() - olderThanMs;
    const files = await this.removeSpools(async (name) => {
      const file = await stat(path.join(this.spoolPath, name)).catch(() => undefined);
      return file !== undefined && file.mtimeMs <= before;
    });
    return files + (await this.driver.sweep(uploadsOlderThanMs).catch(fail));
  }

  async abandon(digest: Digest): Promise<void> {
    const prefix = `${digest.replace(':', '-')}.`;
    await this.removeSpools(async (name) => name.startsWith(prefix));
    await this.driver.abandon(digest).catch(fail);
  }

  async reclaim(): Promise<number> {
    return this.removeSpools(async (name) => {
      const pid = Number(/\.(\d+)-/.exec(name)?.[1]);
      // In a container every life of the process has the same number.
      return pid === process.pid || !isAlive(pid);
    });
  }

  async ping(): Promise<void> {
    await this.driver.ping().catch(fail);
  }

  async close(): Promise<void> {
    this.closed = true;
    await Promise.allSettled([...this.living.values()].map((ingest) => ingest.release()));
    await this.driver.close();
  }

  /** Removes those spool files of other processes that `chosen` picks; how many. */
  private async removeSpools(chosen: (name: string) => Promise<boolean>): Promise<number> {
    const names = await readdir(this.spoolPath).catch((error) => (isCode(error, 'ENOENT') ? [] : fail(error)));
    let removed = 0;
    for (const name of names) {
      if (!/^sha(256|512)-[0-9a-f]+\.\d+-[0-9a-f]+$/.test(name)) continue;
      if (this.living.has(name) || !(await chosen(name))) continue;
      const gone = await unlink(path.join(this.spoolPath, name)).then(
        () => true,
        (error) => isCode(error, 'ENOENT') || fail(error),
      );
      if (gone) removed++;
    }
    return removed;
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return !isCode(error, 'ESRCH');
  }
}

function fail(error: unknown): never {
  throw storeFailure(error);
}
