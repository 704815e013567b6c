import { randomBytes, randomUUID } from 'node:crypto';
import { Deferred, unless } from '#async';
import { type BlobStore, type Ingest, type Sink, type Span, VERIFIED_WHEN_READ } from '#blobs';
import { type Digest, Failure, type Repository } from '#oci';
import type { BlobBody } from '#upstream';
import type { ReadOptions, RunningTransfer } from '../ports.js';
import { Download } from './download.js';
import type { DownloadOptions } from './download-options.js';
import { Window } from './window.js';

/** Bytes at the end of a body that nobody gets before the digest is verified. */
export const TAIL = 64 * 1024;
/** A blob up to this size is verified before its first byte; a bounded range up to it is never withheld. Bytes. */
const SMALL = 2 ** 20;
const WINDOW = 4 * 2 ** 20;
/** Bytes received but not yet in the spool before the connections are paused. */
const UNWRITTEN = 4 * 2 ** 20;
const LAGGARD_READ = 64 * 1024;

/** `Upstream.getBlob` of the one blob. */
export type OpenBlob = (
  span: { offset: number; length?: number } | undefined,
  options: { signal: AbortSignal; ifRange?: string },
) => Promise<BlobBody>;

export interface TransferEvents {
  onEvent?(event: 'resume' | 'restart' | 'connection' | 'withheld'): void;
  onFirstByte?(): void;
  /** All bytes, verified, of a blob that readers keep in memory; its own to keep. */
  onSmall?(bytes: Buffer): void;
  /** Nobody reads any more (`true`) or somebody does again. */
  onIdle?(idle: boolean): void;
}

/**
 * A running download of one blob: upstream -> spool -> store, read meanwhile by any number of readers.
 *
 *   opening --first answer--> flowing --all received--> verifying --digest right--> verified --commit--> done
 *   any --error, abort--> failed
 *
 * Readers are served up to the withheld tail while it flows, and to the end once verified.
 */
export class Transfer implements RunningTransfer {
  readonly id = randomUUID();
  readonly token = randomBytes(24).toString('base64url');
  private readonly sizeKnown = new Deferred<number>();
  private readonly opened = new Deferred<number | undefined>();
  private readonly abortion = new AbortController();
  private readonly window = new Window(WINDOW);
  private readonly download: Download;
  private ingest: Ingest | undefined;
  private preparing: Promise<Ingest> | undefined;
  private total: number | undefined;
  private verified = false;
  private committed = false;
  private failure: Failure | undefined;
  private unwritten = 0;
  private drained: Deferred | undefined;
  private changed = new Deferred();
  private readers = 0;
  private seen = 0;
  private begun = false;

  constructor(
    readonly repository: Repository,
    readonly digest: Digest,
    private readonly store: BlobStore,
    open: OpenBlob,
    options: DownloadOptions,
    private readonly events: TransferEvents = {},
    size?: number,
  ) {
    this.total = size;
    this.download = new Download(
      {
        open: (span, ifRange, signal) => open(span, { signal, ...(ifRange ? { ifRange } : {}) }),
        onSize: (known) => this.learnSize(known),
        write: (offset, chunk) => this.write(offset, chunk),
        onEvent: (event) => this.events.onEvent?.(event),
      },
      options,
      size,
    );
  }

  /** Bytes. `readers`: of this process's clients and of other processes. */
  get progress(): { readonly received: number; readonly size: number | undefined; readonly readers: number } {
    return { received: this.download.received.total, size: this.total, readers: this.readers };
  }

  /** Resolves with the size, if known by then, as soon as the upstream has answered; rejects when it refused. */
  get open(): Promise<number | undefined> {
    return this.opened.promise;
  }

  /** Downloads, verifies and commits. Resolves with the size in bytes once the blob is visible in the store. */
  async run(): Promise<number> {
    try {
      // Nothing is asked for that there is no room for.
      if (this.total !== undefined) await this.prepare();
      const size = await this.download.run(this.abortion.signal);
      this.learnSize(size);
      const ingest = await this.prepare();
      await this.drain();
      this.events.onEvent?.('withheld');
      await ingest.verify();
      this.verified = true;
      this.wake();
      if (this.events.onSmall && size <= VERIFIED_WHEN_READ) this.events.onSmall(await this.whole(ingest, size));
      await ingest.commit();
      // Whoever is not at the end yet reads on in the store.
      this.committed = true;
      this.wake();
      return size;
    } catch (error) {
      this.fail(Failure.of(this.abortion.signal.aborted ? this.abortion.signal.reason : error));
      throw this.failure;
    } finally {
      if (!this.committed) await this.ingest?.abort();
      this.window.clear();
      await this.ingest?.release();
    }
  }

  /** Readers at this moment. */
  get reading(): number {
    return this.readers;
  }

  /** All that have read so far. */
  get readersSeen(): number {
    return this.seen;
  }

  /** Stops the download; readers and `run` reject with `reason`. No effect once verified. */
  cancel(reason: Failure): void {
    if (this.verified) return;
    this.abortion.abort(reason);
    this.resume();
  }

  /** Nothing was asked for yet, since the spool is full. */
  get waitsForRoom(): boolean {
    return this.preparing !== undefined && this.ingest === undefined;
  }

  size(): Promise<number> {
    return this.sizeKnown.promise;
  }

  async read(span: Span, sink: Sink, options: ReadOptions = {}): Promise<void> {
    const { signal } = options;
    this.seen++;
    if (++this.readers === 1) this.events.onIdle?.(false);
    let laggard: Buffer | undefined;
    try {
      let position = span.offset;
      const end = span.offset + span.length;
      const exempt = options.bounded === true && span.length <= SMALL;
      while (position < end) {
        if (this.failure) throw this.failure;
        if (this.committed) {
          const rest = { offset: position, length: end - position };
          return await this.store.read(this.digest, rest, sink, signal);
        }
        const available = Math.min(end, this.availableFrom(position, exempt));
        // What has left the spool can be read again after the commit.
        if (available <= position || position < (this.ingest?.start ?? 0)) {
          this.download.demand(position);
          await unless(signal, this.changed.promise);
          continue;
        }
        const recent = this.window.at(position);
        let chunk: Buffer;
        if (recent) chunk = recent.subarray(0, available - position);
        else {
          laggard ??= Buffer.allocUnsafeSlow(LAGGARD_READ);
          const into = laggard.subarray(0, Math.min(LAGGARD_READ, available - position));
          chunk = into.subarray(0, await this.ingest!.read(position, into));
          if (chunk.length === 0) continue;
        }
        const flushed = sink.write(chunk);
        if (flushed) await unless(signal, flushed);
        else signal?.throwIfAborted();
        position += chunk.length;
      }
    } finally {
      if (--this.readers === 0) this.events.onIdle?.(true);
    }
  }

  /** Where the bytes that a reader at `position` may have end now. */
  private availableFrom(position: number, exempt: boolean): number {
    const there = position + this.download.received.runAt(position);
    if (this.verified || exempt) return there;
    if (this.total === undefined) return there > SMALL ? there - TAIL : 0;
    return this.total <= SMALL ? 0 : Math.min(there, this.total - TAIL);
  }

  private learnSize(size: number | undefined): void {
    this.opened.resolve(size);
    if (size === undefined) return;
    this.total = size;
    this.sizeKnown.resolve(size);
    this.wake();
  }

  private async write(offset: number, chunk: Buffer): Promise<void> {
    const written = this.window.add(offset, chunk);
    if (!this.begun) {
      this.begun = true;
      this.events.onFirstByte?.();
    }
    this.unwritten += chunk.length;
    this.wake();
    (this.ingest
      ? this.ingest.write(offset, chunk)
      : this.prepare().then((ingest) => ingest.write(offset, chunk))
    ).then(
      () => {
        written();
        this.unwritten -= chunk.length;
        if (this.unwritten < UNWRITTEN / 2) this.resume();
      },
      (error) => {
        this.abortion.abort(Failure.of(error));
        this.resume();
      },
    );
    if (this.unwritten >= UNWRITTEN) {
      this.drained ??= new Deferred();
      await this.drained.promise;
    }
  }

  private resume(): void {
    this.drained?.resolve();
    this.drained = undefined;
  }

  /** Waits until every received byte is in the spool. */
  private async drain(): Promise<void> {
    while (this.unwritten > 0) {
      if (this.abortion.signal.aborted) throw this.abortion.signal.reason;
      this.drained ??= new Deferred();
      await this.drained.promise;
      if (this.unwritten > 0) await new Promise(setImmediate);
    }
  }

  private async whole(ingest: Ingest, size: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafeSlow(size);
    for (let done = 0; done < size; ) done += await ingest.read(done, bytes.subarray(done));
    return bytes;
  }

  private fail(failure: Failure): void {
    this.failure ??= failure;
    this.opened.reject(this.failure);
    this.sizeKnown.reject(this.failure);
    this.wake();
  }

  private wake(): void {
    const { changed } = this;
    this.changed = new Deferred();
    changed.resolve();
  }

  private prepare(): Promise<Ingest> {
    this.preparing ??= this.store
      .ingest(this.digest, {
        signal: this.abortion.signal,
        ...(this.total === undefined ? {} : { size: this.total }),
      })
      .then((ingest) => {
        this.ingest = ingest;
        // Such a blob must come in order.
        if (ingest.windowed) this.download.keepToOne();
        return ingest;
      });
    return this.preparing;
  }
}
