import { mkdir, rename, unlink } from 'node:fs/promises';
import path from 'node:path';
import { Deferred } from '#async';
import { BLOCK, type Extent, newExtent, recycle } from './extent.js';
import { isFull } from './failures.js';
import { closeFile, isCode, openFile, readAt, syncFile, truncateFile, writeAt } from './file.js';
import { Overflow, OverflowRoom } from './overflow.js';
import type { Span } from './port.js';
import { SpanSet } from './spans.js';

/** Blocks being filled (one per connection) and being written: at most 3 MiB of memory per ingest. */
const MAX_FILLING = 8;
const MAX_FLUSHING = 4;

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
  private overflow: Overflow<Extent> | undefined;
  /** Every byte in the file is before it. */
  private fileEnd = 0;
  private unsynced?: { readonly error: unknown };

  /** `window`: bytes that may be in the file at a time, a whole number of blocks. The file is a ring then. */
  constructor(
    readonly path: string,
    readonly window?: number,
    /** Bytes of the whole, when known. */
    private readonly size?: number,
    /** Told once when there is no room: from then on bytes stay in memory until they may go, instead of failing. */
    private readonly onFull?: (error: unknown) => void,
    private readonly overflows = new OverflowRoom(),
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

  /** How many bytes from `offset` on are there. */
  runAt(offset: number): number {
    return offset < this.first ? 0 : this.spans.runAt(offset);
  }

  /** Bytes before `offset` are elsewhere or read, and go when their room is needed. */
  mayGo(offset: number): void {
    this.mayGoTo = Math.max(this.mayGoTo, offset);
    this.wake();
  }

  /** What it was written for has failed: so does every later write. */
  fail(error: unknown): void {
    if (!this.overflowFor(error)) this.failure ??= { error };
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
      if (this.overflow ? !this.overflowTakes(at) : !this.makeRoom(at)) {
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
      // What waits for these bytes before it may come.
      if (this.overflow) this.wake();
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
    if (this.unsynced) throw this.unsynced.error;
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
    if (this.failure ?? this.overflow) throw (this.failure ?? this.overflow)!.error;
    // Of an empty blob nothing was written.
    await this.open();
  }

  /** Everything written is on the disk when this resolves, and survives a power cut. */
  async sync(): Promise<void> {
    await this.flush();
    await syncFile(await this.open()).catch((error) => {
      // The kernel may have dropped what it could not write.
      this.unsynced = { error };
      throw error;
    });
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
      this.overflow?.clear();
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

  /** Room in the ring for the block at `offset`, by giving up what may go; false when nothing more may. */
  private makeRoom(offset: number): boolean {
    if (this.window === undefined) return true;
    const needed = offset - (offset % BLOCK) + BLOCK - this.window;
    if (needed <= this.first) return true;
    if (needed > this.mayGoTo) return false;
    this.first = needed;
    return true;
  }

  /** Where bytes go that `error` keeps from the disk; undefined when that is trouble of another kind. */
  private overflowFor(error: unknown): Overflow<Extent> | undefined {
    if (this.overflow || !this.onFull || !isFull(error)) return this.overflow;
    this.overflow = new Overflow(error, this.overflows, recycle);
    this.onFull(error);
    return this.overflow;
  }

  /** In order, since nothing leaves before what comes before it has been read. */
  private overflowTakes(offset: number): boolean {
    const overflow = this.overflow!;
    if (offset > this.spans.frontier) return false;
    const takes = overflow.takes(offset, this.mayGoTo);
    this.first = Math.max(this.first, overflow.gone);
    this.giveFileBack();
    return takes;
  }

  /** A full disk wants its space back, when everything in the file has been read. */
  private giveFileBack(): void {
    const unread = this.first < this.fileEnd || this.flushing.size > 0;
    if (this.window !== undefined || this.fileEnd === 0 || unread) return;
    this.fileEnd = 0;
    void this.file?.then(truncateFile).catch(() => {});
  }

  private *extents(): Iterable<Extent> {
    yield* this.filling;
    yield* this.flushing.keys();
    if (this.overflow) yield* this.overflow;
  }

  private extentAt(offset: number): Extent {
    const open = this.filling.find((e) => e.offset + e.length === offset);
    if (open) return open;
    if (this.filling.length >= MAX_FILLING) this.flushOne(this.filling[0]!);
    const extent = newExtent(offset, this.size);
    this.filling.push(extent);
    return extent;
  }

  private flushOne(extent: Extent): void {
    this.filling.splice(this.filling.indexOf(extent), 1);
    if (this.overflow) {
      this.overflow.add(extent);
      return;
    }
    const flush = this.open()
      .then((fd) => writeAt(fd, extent.buffer.subarray(0, extent.length), this.place(extent.offset)))
      .then(
        () => {
          this.fileEnd = Math.max(this.fileEnd, extent.offset + extent.length);
          recycle(extent);
        },
        (error) => {
          const overflow = this.overflowFor(error);
          if (overflow) return overflow.add(extent);
          this.failure ??= { error };
          recycle(extent);
        },
      )
      .finally(() => this.flushing.delete(extent));
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
