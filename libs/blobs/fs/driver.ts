import { randomBytes } from 'node:crypto';
import { mkdir, readdir, stat, unlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { unless } from '#async';
import type { Digest } from '#oci';
import { BufferPool } from '../buffers.js';
import { type BlobDriver, blobKey, keyDigest, type Upload } from '../driver.js';
import { blobGone, storeFailure } from '../failures.js';
import { isCode, readAt } from '../file.js';
import { type Sink, type Span, type StoredBlob, VERIFIED_WHEN_READ } from '../port.js';
import type { SpoolFile } from '../spool.js';
import { OpenFiles } from './open-files.js';

/** 1 MiB per read: 5 GB/s from the page cache, against 1.5 with 256 KiB and 0.4 with 64 KiB. */
const READ = 1024 * 1024;
/** Files that a listing asks for at a time. */
const STATS = 64;
/** When all pooled buffers are with slow clients, further readers go on with one of this size of their own. */
const SMALL_READ = 64 * 1024;

export interface FsDriverOptions {
  /** Directory of the store; created when missing. */
  readonly path: string;
}

/** Blobs as files, `<path>/blobs/<algorithm>/<2 hex>/<hex>`. A rename makes them visible. */
export class FsDriver implements BlobDriver {
  /** The spool file becomes the blob. */
  readonly drains = false;
  private readonly root: string;
  private readonly files = new OpenFiles(512, 60_000);
  private readonly buffers = new BufferPool(READ, 64);

  constructor(options: FsDriverOptions) {
    this.root = options.path;
  }

  async stat(digest: Digest): Promise<{ size: number } | undefined> {
    const file = await stat(this.file(digest)).catch(gone);
    return file && { size: file.size };
  }

  async read(digest: Digest, span: Span, sink: Sink, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    await this.files
      .use(this.file(digest), (fd) => this.pump(fd, span, sink, signal))
      .catch((error) => {
        // Everything else comes from the pump: a Failure already, or the sink's own.
        if (error.syscall !== 'open') throw error;
        throw isCode(error, 'ENOENT') ? blobGone(error) : storeFailure(error);
      });
  }

  async link(): Promise<undefined> {
    return undefined;
  }

  async remove(digest: Digest): Promise<void> {
    this.files.forget(this.file(digest));
    await unlink(this.file(digest)).catch((error) => {
      if (!isCode(error, 'ENOENT')) throw error;
    });
  }

  async *list(): AsyncIterable<StoredBlob> {
    for (const algorithm of await entries(path.join(this.root, 'blobs'))) {
      for (const shard of await entries(path.join(this.root, 'blobs', algorithm))) {
        const names = await entries(path.join(this.root, 'blobs', algorithm, shard));
        const digests = names.flatMap((name) => keyDigest(`blobs/${algorithm}/${shard}/${name}`) ?? []);
        for (let from = 0; from < digests.length; from += STATS) {
          const some = digests.slice(from, from + STATS);
          const found = await Promise.all(some.map((digest) => stat(this.file(digest)).catch(gone)));
          for (const [i, digest] of some.entries()) {
            const file = found[i];
            if (file) yield { digest, size: file.size, storedAt: file.mtime };
          }
        }
      }
    }
  }

  upload(digest: Digest, spool: SpoolFile): Upload {
    const target = this.file(digest);
    return {
      written: () => {},
      // A rename may reach the disk before the bytes do, and a power cut would then leave a short blob under a good
      // name: so sync first, except what is verified whenever it is read (docs/adr/0009). No client waits for it: readers
      // get the end of the body when `verify` resolves. A rename that is lost is a miss.
      commit: async (size) => {
        await (size > VERIFIED_WHEN_READ ? spool.sync() : spool.flush());
        await spool.moveTo(target);
        // A blob that was here already was perhaps damaged: read the new one.
        this.files.forget(target);
      },
      abort: async () => {},
    };
  }

  async sweep(): Promise<number> {
    return 0;
  }

  async abandon(): Promise<void> {}

  async ping(): Promise<void> {
    await mkdir(this.root, { recursive: true });
    const probe = path.join(this.root, `.ping-${process.pid}-${randomBytes(4).toString('hex')}`);
    try {
      await writeFile(probe, 'ping');
    } finally {
      await unlink(probe).catch(() => {});
    }
  }

  async close(): Promise<void> {
    this.files.close();
  }

  private file(digest: Digest): string {
    return path.join(this.root, blobKey(digest));
  }

  private async pump(fd: number, span: Span, sink: Sink, signal?: AbortSignal): Promise<void> {
    const end = span.offset + span.length;
    const pooled = span.length > SMALL_READ ? this.buffers.take() : undefined;
    const buffer = pooled ?? Buffer.allocUnsafe(Math.min(span.length, SMALL_READ));
    try {
      for (let offset = span.offset; offset < end; ) {
        const count = await readAt(fd, buffer.subarray(0, Math.min(buffer.length, end - offset)), offset).catch(
          (error) => {
            throw storeFailure(error);
          },
        );
        if (count === 0) throw blobGone(new Error(`file ends at ${offset}, expected ${end}`));
        signal?.throwIfAborted();
        const written = sink.write(buffer.subarray(0, count));
        if (written) await unless(signal, written);
        offset += count;
      }
    } catch (error) {
      // The sink may still hold the buffer.
      if (pooled) this.buffers.lose();
      throw error;
    }
    if (pooled) this.buffers.give(pooled);
  }
}

/** Sorted. */
async function entries(directory: string): Promise<string[]> {
  const names = await readdir(directory).catch((error) => {
    if (isCode(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  });
  return names.sort();
}

function gone(error: unknown): undefined {
  if (!isCode(error, 'ENOENT')) throw error;
}
