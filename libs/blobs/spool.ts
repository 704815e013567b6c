import { mkdir, rename, unlink } from 'node:fs/promises';
import path from 'node:path';
import { Deferred } from '#async';
import { BufferPool } from './buffers.js';
import { closeFile, isCode, openFile, readAt, syncFile, writeAt } from './file.js';
import type { Span } from './port.js';
import { SpanSet } from './spans.js';

/**
 * Bodies arrive in pieces of 16 to 64 KiB, and a trip through the thread pool per piece bounds a transfer to about
 * 0.3 GB/s; gathered into blocks of this size it is five times that.
 */
const BLOCK = 256 * 1024;
/** Blocks being filled (one per connection) and being written: at most 3 MiB of memory per ingest. */
const MAX_FILLING = 8;
const MAX_FLUSHING = 4;
const SMALL = BLOCK / 2;
const blocks = new BufferPool(BLOCK, 256);

/** Written bytes that are not in the file yet. */
interface Extent {
  readonly offset: number;
  readonly room: number;
  length: number;
  readonly buffer: Buffer;
  readonly pooled: boolean;
}

/**
 * The bytes of a running transfer: a local file with a bounded write-behind in front, written in any order and read
 * back at once, from memory where they are still there. A blob of one block touches the disk only when asked to.
 *
 * A byte that was written once is never overwritten: what was hashed is what is stored and read.
 */
export class SpoolFile {
  private readonly spans = new SpanSet();
  private readonly filling: Extent[] = [];
  private readonly flushing = new Map<Extent, Promise<void>>();
  private readonly reading = new Set<Promise<number>>();
  private file?: Promise<number>;
  private failure?: { readonly error: unknown };
  private named = false;
  private closing?: Promise<void>;
  private first = 0;
  private mayGoTo = 0;
  private room: Deferred | undefined;

  /** `window`: bytes that may be in the file at a time, a whole number of blocks. The file is a ring then. */
  constructor(
    readonly path: string,
    readonly window?: number,
    /** Bytes of the whole, when known. */
    private readonly size?: number,
  ) {}

  /** Bytes before this offset are gone. */
  get start(): number {
    return this.first;
  }

  get frontier(): number {
    return this.spans.frontier;
  }

  get end(): number {
    return this.spans.end;
  }

  has(span: Span): boolean {
    return this.spans.has(span);
  }

  /** Bytes before `offset` are elsewhere, and go when their room is needed. */
  mayGo(offset: number): void {
    this.mayGoTo = Math.max(this.mayGoTo, offset);
    this.wake();
  }

  /** What it was written for has failed: so does every later write. */
  fail(error: unknown): void {
    this.failure ??= { error };
    this.wake();
  }

  /**
   * Takes over what of `chunk` is not written yet, telling `taken` of each piece as soon as it can be read.
   * Rejects with the file's error, perhaps of an earlier write.
   */
  async write(offset: number, chunk: Buffer, taken: (offset: number, piece: Buffer) => void): Promise<void> {
    let done = 0;
    while (done < chunk.length) {
      if (this.closing) throw new Error('write after release');
      if (this.failure) throw this.failure.error;
      const at = offset + done;
      const known = this.spans.runAt(at);
      if (known > 0) {
        done += Math.min(known, chunk.length - done);
        continue;
      }
      if (this.window !== undefined && !this.makeRoom(at, this.window)) {
        // What is being filled may be all that an upload still waits for.
        this.room ??= new Deferred();
        await this.room.promise;
        continue;
      }
      if (this.flushing.size >= MAX_FLUSHING) {
        await Promise.race(this.flushing.values());
        continue;
      }
      const extent = this.extentAt(at);
      const length = Math.min(this.spans.gapAt(at, chunk.length - done), extent.room - extent.length);
      const piece = chunk.subarray(done, done + length);
      piece.copy(extent.buffer, extent.length);
      extent.length += length;
      this.spans.add({ offset: at, length });
      if (extent.length === extent.room) this.flushOne(extent);
      done += length;
      taken(at, piece);
    }
  }

  /** Reads written bytes; returns how many, at least 1. */
  async read(offset: number, into: Buffer): Promise<number> {
    if (this.closing) throw new Error('read after release');
    if (offset < this.first) return 0;
    let limit = Math.min(into.length, this.spans.runAt(offset));
    if (limit === 0) throw new Error(`read at ${offset}: not written`);
    for (const extent of this.extents()) {
      if (extent.offset <= offset && offset < extent.offset + extent.length) {
        const from = offset - extent.offset;
        return extent.buffer.copy(into, 0, from, Math.min(extent.length, from + limit));
      }
      if (extent.offset > offset) limit = Math.min(limit, extent.offset - offset);
    }
    // Read by the descriptor: the name may be gone, after an abort, or the blob's, after a commit.
    const at = this.place(offset);
    if (this.window !== undefined) limit = Math.min(limit, this.window - at);
    const reading = this.open().then((fd) => readAt(fd, into.subarray(0, limit), at));
    this.reading.add(reading);
    const count = await reading.finally(() => this.reading.delete(reading));
    // What was read may be a later byte already.
    if (offset < this.first) return 0;
    if (count === 0) throw this.failure?.error ?? new Error('spool file is shorter than what was written to it');
    return count;
  }

  /** Fills `into` from `offset` on. */
  async readFully(offset: number, into: Buffer): Promise<void> {
    for (let done = 0; done < into.length; ) {
      const count = await this.read(offset + done, into.subarray(done));
      if (count === 0) throw new Error('bytes left the spool while they were read');
      done += count;
    }
  }

  /** Everything written is in the file when this resolves. */
  async flush(): Promise<void> {
    for (const extent of [...this.filling]) this.flushOne(extent);
    await Promise.all(this.flushing.values());
    if (this.failure) throw this.failure.error;
    // Of an empty blob nothing was written.
    await this.open();
  }

  /** Everything written is on the disk when this resolves, and survives a power cut. */
  async sync(): Promise<void> {
    await this.flush();
    await syncFile(await this.open());
  }

  /** Moves the file to where blobs are; it stays readable here. */
  async moveTo(target: string): Promise<void> {
    await rename(this.path, target).catch(async (error) => {
      if (!isCode(error, 'ENOENT')) throw error;
      await mkdir(path.dirname(target), { recursive: true });
      await rename(this.path, target);
    });
    this.named = false;
  }

  /** Frees the disk space once the last reader is gone; the bytes stay readable until `close`. */
  async unlink(): Promise<void> {
    await this.file?.catch(() => {});
    if (!this.named) return;
    this.named = false;
    await unlink(this.path).catch((error) => {
      if (!isCode(error, 'ENOENT')) throw error;
    });
  }

  close(): Promise<void> {
    this.closing ??= (async () => {
      // A descriptor that is closed under a read may be another file's by the time the read runs.
      this.wake();
      await Promise.allSettled([...this.flushing.values(), ...this.reading]);
      for (const extent of this.filling.splice(0)) recycle(extent);
      const fd = await this.file?.catch(() => undefined);
      if (fd !== undefined) await closeFile(fd);
    })();
    return this.closing;
  }

  private wake(): void {
    this.room?.resolve();
    this.room = undefined;
  }

  /** Where the byte at `offset` is in the file. */
  private place(offset: number): number {
    return this.window === undefined ? offset : offset % this.window;
  }

  /** Room for the block at `offset`, by giving up what may go; false when nothing more may. */
  private makeRoom(offset: number, window: number): boolean {
    const needed = offset - (offset % BLOCK) + BLOCK - window;
    if (needed <= this.first) return true;
    if (needed > this.mayGoTo) return false;
    this.first = needed;
    return true;
  }

  private *extents(): Iterable<Extent> {
    yield* this.filling;
    yield* this.flushing.keys();
  }

  private extentAt(offset: number): Extent {
    const open = this.filling.find((e) => e.offset + e.length === offset);
    if (open) return open;
    if (this.filling.length >= MAX_FILLING) this.flushOne(this.filling[0]!);
    // A small blob needs no block; of many at a time the blocks would be most of this process's memory.
    const small = this.size !== undefined && this.size <= SMALL;
    const buffer = small ? undefined : blocks.take();
    const extent = {
      offset,
      // Up to the next boundary, so that the following blocks are aligned to pages.
      room: BLOCK - (offset % BLOCK),
      length: 0,
      buffer: buffer ?? Buffer.allocUnsafeSlow(small ? this.size : BLOCK),
      pooled: buffer !== undefined,
    };
    this.filling.push(extent);
    return extent;
  }

  private flushOne(extent: Extent): void {
    this.filling.splice(this.filling.indexOf(extent), 1);
    const flush = this.open()
      .then((fd) => writeAt(fd, extent.buffer.subarray(0, extent.length), this.place(extent.offset)))
      .catch((error) => {
        this.failure ??= { error };
      })
      .finally(() => {
        this.flushing.delete(extent);
        recycle(extent);
      });
    this.flushing.set(extent, flush);
  }

  private open(): Promise<number> {
    this.file ??= (async () => {
      const fd = await openFile(this.path, 'wx+').catch(async (error) => {
        if (!isCode(error, 'ENOENT')) throw error;
        await mkdir(path.dirname(this.path), { recursive: true });
        return openFile(this.path, 'wx+');
      });
      this.named = true;
      return fd;
    })();
    return this.file;
  }
}

function recycle(extent: Extent): void {
  if (extent.pooled) blocks.give(extent.buffer);
}
