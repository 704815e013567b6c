import { type Digest, type Failure, type Hasher, hasherFor } from '#oci';
import { BufferPool } from './buffers.js';
import type { Upload } from './driver.js';
import { isFull, refusedContent, storeFailure } from './failures.js';
import type { Ingest } from './port.js';
import type { SpoolFile } from './spool.js';

const slices = new BufferPool(1024 * 1024, 8);

/**
 * The rules of a blob being written, the same for every driver.
 *
 *   open --verify--> verified --commit--> committed
 *     '--abort / a failed write--> aborted          release from anywhere
 *
 * The hash runs on the main thread, over bytes in order straight from memory: with SHA instructions 1.7 GB/s (0.04 ms
 * per 64 KiB), less than handing them to a worker and back would pay for. What arrived ahead of the frontier is read
 * back in slices once the gap closes.
 */
export class VerifiedIngest implements Ingest {
  private readonly hash: Hasher;
  private hashed = 0;
  private noRoom: Failure | undefined;
  private catchingUp?: Promise<void>;
  private unreadable?: Failure;
  private verifying?: Promise<number>;
  private committing?: Promise<number>;
  private committed = false;
  private aborting?: Promise<void>;
  private releasing?: Promise<void>;
  private readonly onPiece = (offset: number, piece: Buffer) => this.take(offset, piece);

  constructor(
    readonly digest: Digest,
    private readonly spool: SpoolFile,
    private readonly upload: Upload,
    private readonly size: number | undefined,
    private readonly ended: () => void,
    private readonly onFull?: (failure: Failure) => void,
  ) {
    this.hash = hasherFor(digest);
  }

  get frontier(): number {
    return this.spool.frontier;
  }

  get start(): number {
    return this.spool.start;
  }

  get full(): Failure | undefined {
    return this.noRoom;
  }

  get windowed(): boolean {
    return this.spool.window !== undefined;
  }

  async write(offset: number, chunk: Buffer): Promise<void> {
    if (this.aborting) throw new Error('write after abort');
    if (this.verifying) throw new Error('write after verify');
    if (this.size !== undefined && offset + chunk.length > this.size) {
      throw refusedContent(`the body is longer than ${this.size} bytes`);
    }
    try {
      await this.spool.write(offset, chunk, this.onPiece);
    } catch (error) {
      // Without this byte the blob never becomes whole; a full disk wants its space back now.
      await this.abort();
      throw storeFailure(error);
    }
  }

  runAt(offset: number): number {
    return this.spool.runAt(offset);
  }

  mayGo(offset: number): void {
    // Not before it was hashed.
    if (this.full) this.spool.mayGo(Math.min(offset, this.hashed));
  }

  /** There is no room for the blob, which `error` says: what was moved to the store is dropped. */
  fill(error: unknown): void {
    if (this.noRoom) return;
    this.noRoom = storeFailure(error);
    this.upload.abort().catch(() => {});
    this.onFull?.(this.noRoom);
  }

  async read(offset: number, into: Buffer): Promise<number> {
    try {
      return await this.spool.read(offset, into);
    } catch (error) {
      // What is no system call's is the caller's mistake.
      throw (error as NodeJS.ErrnoException).syscall ? storeFailure(error) : error;
    }
  }

  verify(): Promise<number> {
    if (this.aborting && !this.committed) return Promise.reject(new Error('verify after abort'));
    this.verifying ??= this.check();
    return this.verifying;
  }

  commit(): Promise<number> {
    this.committing ??= this.publish().catch((error) => {
      // The store may be back for the next try; the bytes are still here.
      this.committing = undefined;
      throw error;
    });
    return this.committing;
  }

  abort(): Promise<void> {
    if (this.committed) return Promise.resolve();
    this.aborting ??= (async () => {
      // Both are best effort: what cannot be dropped now is swept later.
      await Promise.allSettled([this.upload.abort(), this.spool.unlink()]);
    })();
    return this.aborting;
  }

  release(): Promise<void> {
    this.releasing ??= (async () => {
      await this.abort();
      await this.catchingUp;
      await this.spool.unlink().catch(() => {});
      await this.spool.close();
      this.ended();
    })();
    return this.releasing;
  }

  private take(offset: number, piece: Buffer): void {
    if (offset === this.hashed) {
      this.hash.update(piece);
      this.hashed += piece.length;
    }
    if (this.hashed < this.spool.frontier && !this.unreadable) void this.startCatchingUp();
    if (!this.full) this.upload.written({ offset, length: piece.length });
  }

  private startCatchingUp(): Promise<void> {
    this.catchingUp ??= this.catchUp()
      .catch((error) => {
        this.unreadable = storeFailure(error);
      })
      .finally(() => {
        this.catchingUp = undefined;
      });
    return this.catchingUp;
  }

  private async catchUp(): Promise<void> {
    const pooled = slices.take();
    const slice = pooled ?? Buffer.allocUnsafe(64 * 1024);
    try {
      while (this.hashed < this.spool.frontier && !this.aborting) {
        const count = await this.spool.read(this.hashed, slice.subarray(0, this.spool.frontier - this.hashed));
        if (count === 0) throw new Error('bytes left the spool before they were hashed');
        this.hash.update(slice.subarray(0, count));
        this.hashed += count;
      }
    } finally {
      if (pooled) slices.give(pooled);
    }
  }

  private async check(): Promise<number> {
    // A gap may have closed just as the last run was ending.
    while (this.hashed < this.spool.frontier && !this.unreadable && !this.aborting) await this.startCatchingUp();
    if (this.unreadable) throw this.unreadable;
    if (this.aborting) throw new Error('aborted while verifying');
    const { frontier, end } = this.spool;
    const size = this.size ?? end;
    if (frontier < size) throw refusedContent(`the body ended after ${frontier} of ${size} bytes`);
    const actual = this.hash.digest();
    if (actual !== this.digest) throw refusedContent(`the body is ${actual}, not ${this.digest}`);
    return size;
  }

  private async publish(): Promise<number> {
    const size = await this.verify();
    if (this.aborting) throw new Error('commit after abort');
    if (this.full) throw this.full;
    try {
      await this.upload.commit(size);
    } catch (error) {
      if (isFull(error)) this.fill(error);
      throw storeFailure(error);
    }
    this.committed = true;
    return size;
  }
}
