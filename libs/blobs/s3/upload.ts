import pLimit, { type LimitFunction } from 'p-limit';
import { BufferPool } from '../buffers.js';
import type { Upload } from '../driver.js';
import { isFull } from '../failures.js';
import type { Span } from '../port.js';
import type { SpoolFile } from '../spool.js';
import { ASK, type S3Connection, SEND } from './connection.js';
import { isCodeOf, isMissing } from './errors.js';

/** S3 takes at most so many parts; a blob over 80 GiB gets larger ones, if its size is known beforehand. */
const MAX_PARTS = 10_000;
const PART = 8 * 1024 * 1024;
/** Parts on their way per blob, and in all: the memory that uploads take. */
const PER_BLOB = 4;
const IN_ALL = 8;

/** Of a part whose bytes must leave before others can come, and the milliseconds between. */
const MOST_TRIES = 30;
const AGAIN_MS = 2_000;

/** What the uploads of one store share. */
export class UploadSlots {
  readonly limit: LimitFunction = pLimit(IN_ALL);
  readonly buffers = new BufferPool(PART, IN_ALL);
  /** Multipart uploads of this process that are not finished. */
  readonly owned = new Set<string>();
  /** Those that S3 may list already although their names have not reached us. */
  readonly starting = new Set<Promise<unknown>>();
}

interface Part {
  readonly part: number;
  readonly etag: string;
}

/**
 * One blob on its way to S3. Parts go while the transfer runs, each as soon as it is complete; a blob of one part goes
 * in one PUT at the end. S3 shows a multipart upload only when it is completed. Not through `putObject(stream)`, which
 * takes the process down when the stream fails.
 */
export class S3Upload implements Upload {
  private readonly sent = new Map<number, Promise<Part>>();
  /** Parts that S3 has, from `contiguous` on. */
  private readonly done = new Set<number>();
  private contiguous = 0;
  private readonly limit = pLimit(PER_BLOB);
  private readonly partSize: number;
  private id?: Promise<string>;
  private readonly stop = new AbortController();

  constructor(
    private readonly connection: S3Connection,
    private readonly slots: UploadSlots,
    private readonly key: string,
    private readonly spool: SpoolFile,
    private readonly size: number | undefined,
  ) {
    this.partSize = Math.max(PART, Math.ceil((size ?? 0) / MAX_PARTS));
  }

  written({ offset, length }: Span): void {
    if (this.size !== undefined && this.size <= this.partSize) return;
    const last = Math.floor((offset + length - 1) / this.partSize);
    for (let index = Math.floor(offset / this.partSize); index <= last; index++) {
      const span = this.span(index, this.size);
      if (!this.sent.has(index) && this.spool.has(span)) this.sendEarly(index, span, 1);
    }
  }

  async commit(size: number): Promise<void> {
    if (size <= this.partSize && this.sent.size === 0) return this.put(size);
    await Promise.allSettled(this.sent.values());
    const parts: Promise<Part>[] = [];
    for (let index = 0; index * this.partSize < size; index++) {
      parts.push(this.sent.get(index) ?? this.send(index, this.span(index, size)));
    }
    await this.complete(size, await Promise.all(parts));
    this.slots.owned.delete(await this.id!);
  }

  async abort(): Promise<void> {
    this.stop.abort(new Error('the ingest was aborted'));
    await Promise.allSettled(this.sent.values());
    const id = await this.id?.catch(() => undefined);
    // Once: who cannot store a blob drops it before its readers are done with it.
    if (id === undefined || !this.slots.owned.delete(id)) return;
    await this.connection.call((client) => client.abortMultipartUpload(this.connection.bucket, this.key, id), ASK);
  }

  /** One that fails after all its tries is sent again by `commit`; earlier, where the next bytes wait for its room. */
  private sendEarly(index: number, span: Span, tries: number): void {
    this.send(index, span).then(
      () => {
        while (this.done.delete(this.contiguous)) this.contiguous++;
        this.spool.mayGo(this.contiguous * this.partSize);
      },
      (error) => {
        if (this.spool.window === undefined || this.stop.signal.aborted) return;
        if (tries >= MOST_TRIES || isFull(error)) return this.spool.fail(error);
        setTimeout(() => {
          if (!this.stop.signal.aborted && !this.sent.has(index)) this.sendEarly(index, span, tries + 1);
        }, AGAIN_MS).unref();
      },
    );
  }

  private span(index: number, size = Number.POSITIVE_INFINITY): Span {
    const offset = index * this.partSize;
    return { offset, length: Math.min(this.partSize, size - offset) };
  }

  private send(index: number, span: Span): Promise<Part> {
    const part = this.limit(() => this.slots.limit(() => this.sendPart(index + 1, span)));
    this.sent.set(index, part);
    part.then(
      () => this.done.add(index),
      () => this.sent.delete(index),
    );
    return part;
  }

  private async sendPart(partNumber: number, span: Span): Promise<Part> {
    this.stop.signal.throwIfAborted();
    const uploadID = await this.start();
    const { bucket } = this.connection;
    return this.withBytes(span, (bytes) =>
      this.connection.call(
        (client) =>
          client.uploadPart({ bucketName: bucket, objectName: this.key, uploadID, partNumber, headers: {} }, bytes),
        { ...SEND, signal: this.stop.signal },
      ),
    );
  }

  /** Never cut short by `abort`, which would leave an upload that nobody knows the name of. */
  private start(): Promise<string> {
    this.id ??= this.connection
      .call((client) => client.initiateNewMultipartUpload(this.connection.bucket, this.key, {}), SEND)
      .then(
        (id) => {
          this.slots.owned.add(id);
          return id;
        },
        (error) => {
          this.id = undefined;
          throw error;
        },
      );
    const { id } = this;
    this.slots.starting.add(id);
    const started = () => this.slots.starting.delete(id);
    id.then(started, started);
    return id;
  }

  private async complete(size: number, parts: Part[]): Promise<void> {
    const { bucket } = this.connection;
    const id = await this.id!;
    const bounds = { ...SEND, idleMs: SEND.timeoutMs, signal: this.stop.signal };
    try {
      await this.connection.call((client) => client.completeMultipartUpload(bucket, this.key, id, parts), bounds);
    } catch (error) {
      // A try whose answer was lost may have done it.
      if (!isCodeOf(error, 'NoSuchUpload') || (await this.committedSize()) !== size) throw error;
    }
  }

  private put(size: number): Promise<void> {
    return this.slots.limit(() =>
      this.withBytes({ offset: 0, length: size }, async (bytes) => {
        const bounds = { ...SEND, signal: this.stop.signal };
        await this.connection.call((client) => client.putObject(this.connection.bucket, this.key, bytes), bounds);
      }),
    );
  }

  private async committedSize(): Promise<number | undefined> {
    try {
      return (await this.connection.call((client) => client.statObject(this.connection.bucket, this.key))).size;
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  private async withBytes<T>({ offset, length }: Span, work: (bytes: Buffer) => Promise<T>): Promise<T> {
    const pooled = length <= PART ? this.slots.buffers.take() : undefined;
    const bytes = pooled?.subarray(0, length) ?? Buffer.allocUnsafeSlow(length);
    try {
      await this.spool.readFully(offset, bytes);
      const result = await work(bytes);
      if (pooled) this.slots.buffers.give(pooled);
      return result;
    } catch (error) {
      // A request that was cut off may still be sending it.
      if (pooled) this.slots.buffers.lose();
      throw error;
    }
  }
}
