import { randomBytes, randomUUID } from 'node:crypto';
import { Deferred, unless } from '#async';
import { type BlobStore, type Ingest, type Sink, type Span, VERIFIED_WHEN_READ } from '#blobs';
import { type Digest, Failure, type Repository } from '#oci';
import type { ReadOptions, RunningTransfer } from '../ports.js';
import { Backlog } from './backlog.js';
import { Download } from './download.js';
import type { DownloadOptions } from './download-options.js';
import { Laggards } from './laggards.js';
import { Readers } from './readers.js';
import type { OpenBlob, TransferEvents } from './transfer-events.js';
import { Window } from './window.js';

/** Bytes at the end of a body that nobody gets before the digest is verified. */
export const TAIL = 64 * 1024;
/** A blob up to this size is verified before its first byte; a bounded range up to it is never withheld. Bytes. */
const SMALL = 2 ** 20;
const WINDOW = 4 * 2 ** 20;
/** What a reader reads of the spool that shares its read with nobody. */
const OWN_READ = 64 * 1024;
/** How long a transfer that cannot be stored waits for readers, at its end and before. Milliseconds. */
const LAST_CALL_MS = 3_000;
const UNREAD_MS = 10_000;

/**
 * A running download of one blob: upstream -> spool -> store, read meanwhile by any number of readers.
 *
 *   opening --first answer--> flowing --all received--> verifying --digest right--> verified --commit--> done
 *                                                                             verified --no room--> read to its end --> failed
 *   any --error, abort--> failed
 *
 * Readers are served up to the withheld tail while it flows, and to the end once verified. When disk or store are full, they are
 * served all the same, through a window in memory that goes on with them.
 */
export class Transfer implements RunningTransfer {
  readonly id = randomUUID();
  readonly token = randomBytes(24).toString('base64url');
  readonly readers = new Readers((idle) => this.events.onIdle?.(idle));
  private readonly sizeKnown = new Deferred<number>();
  private readonly opened = new Deferred<number | undefined>();
  private readonly abortion = new AbortController();
  private readonly window = new Window(WINDOW);
  private download: Download;
  private backlog = new Backlog();
  private restarts = false;
  private ingest: Ingest | undefined;
  private laggards: Laggards | undefined;
  private preparing: Promise<Ingest> | undefined;
  private total: number | undefined;
  private verified = false;
  private committed = false;
  private failure: Failure | undefined;
  private changed = new Deferred();
  private begun = false;

  constructor(
    readonly repository: Repository,
    readonly digest: Digest,
    private readonly store: BlobStore,
    private readonly openBlob: OpenBlob,
    private readonly options: DownloadOptions,
    private readonly events: TransferEvents = {},
    size?: number,
  ) {
    this.total = size;
    this.download = this.downloadFrom({ offset: 0 });
  }

  /** Bytes. `readers`: of this process's clients and of other processes. */
  get progress(): { readonly received: number; readonly size: number | undefined; readonly readers: number } {
    const received = this.full ? this.ingest!.frontier : this.download.received.total;
    return { received, size: this.total, readers: this.readers.size };
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
      const size = await this.receive();
      this.learnSize(size);
      const ingest = await this.prepare();
      await this.backlog.empty(this.abortion.signal);
      this.events.onEvent?.('withheld');
      await ingest.verify();
      this.verified = true;
      this.wake();
      if (this.events.onSmall && size <= VERIFIED_WHEN_READ) this.events.onSmall(await this.laggards!.whole(size));
      await ingest.commit().catch(async (error) => {
        if (this.full) await this.lastCall();
        throw error;
      });
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

  /** Stops the download; readers and `run` reject with `reason`. No effect once verified, and about to be stored. */
  cancel(reason: Failure): void {
    if (this.verified && !this.full) return;
    this.abortion.abort(reason);
    this.backlog.resume();
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
    const reader = this.readers.enter(span.offset);
    let own: Buffer | undefined;
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
        const lent = recent ? undefined : await this.laggards?.at(position);
        let chunk = recent ?? lent?.bytes;
        if (!chunk) {
          own ??= Buffer.allocUnsafeSlow(OWN_READ);
          chunk = own.subarray(0, await this.ingest!.read(position, own));
        }
        chunk = chunk.subarray(0, available - position);
        let used = false;
        try {
          if (chunk.length === 0) continue;
          const flushed = sink.write(chunk);
          if (flushed) {
            reader.taking = performance.now();
            await unless(signal, flushed);
            reader.taking = undefined;
          } else signal?.throwIfAborted();
          used = true;
        } finally {
          lent?.give(used);
        }
        position += chunk.length;
        reader.position = position;
        if (this.full && position % OWN_READ < chunk.length) this.letGo();
      }
    } finally {
      this.readers.leave(reader);
    }
  }

  /** Where the bytes that a reader at `position` may have end now. */
  private availableFrom(position: number, exempt: boolean): number {
    const there = position + (this.full ? this.ingest! : this.download.received).runAt(position);
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
    const { backlog } = this;
    backlog.add(chunk.length);
    this.wake();
    (this.ingest
      ? this.ingest.write(offset, chunk)
      : this.prepare().then((ingest) => ingest.write(offset, chunk))
    ).then(
      () => {
        written();
        backlog.taken(chunk.length);
        if (this.full) this.wake();
      },
      (error) => {
        this.abortion.abort(Failure.of(error));
        backlog.resume();
      },
    );
    await backlog.room();
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
        onFull: (failure) => this.goOnInMemory(failure),
      })
      .then((ingest) => {
        this.ingest = ingest;
        this.laggards = new Laggards(ingest, () => this.total);
        // Such a blob must come in order.
        if (ingest.windowed) this.download.keepToOne();
        return ingest;
      });
    return this.preparing;
  }

  private downloadFrom(from: { readonly offset: number; readonly etag?: string | undefined }): Download {
    return new Download(
      {
        open: (span, ifRange, signal) => this.openBlob(span, { signal, ...(ifRange ? { ifRange } : {}) }),
        onSize: (known) => this.learnSize(known),
        write: (offset, chunk) => this.write(offset, chunk),
        onEvent: (event) => this.events.onEvent?.(event),
      },
      this.options,
      this.total,
      from,
    );
  }

  /** Resolves with the size when everything was received. */
  private async receive(): Promise<number> {
    for (;;) {
      try {
        return await this.download.run(this.abortion.signal);
      } catch (error) {
        if (this.abortion.signal.aborted || !this.restarts) throw error;
        // From now on in order, from what is there without a gap; what other connections brought is in nobody's way.
        this.restarts = false;
        this.backlog = new Backlog();
        this.download = this.downloadFrom({ offset: this.ingest!.frontier, etag: this.download.contentTag });
        this.download.keepToOne();
      }
    }
  }

  private get full(): boolean {
    return this.ingest?.full !== undefined;
  }

  private goOnInMemory(failure: Failure): void {
    this.events.onEvent?.('full');
    this.events.onFull?.(failure);
    if (!this.download.keepToOne()) {
      this.restarts = true;
      this.download.stop(failure);
    }
    void this.watchReaders(failure);
  }

  /** Until everything was received: lets go what is read, and gives up when nobody reads. */
  private async watchReaders(failure: Failure): Promise<void> {
    const goOn = (): boolean => {
      const over = this.verified || this.failure !== undefined || this.abortion.signal.aborted;
      if (!over) this.letGo();
      return !over;
    };
    if (await this.readers.gone(() => this.ingest!.start, UNREAD_MS, goOn)) this.cancel(failure);
  }

  private letGo(): void {
    this.ingest!.mayGo(this.readers.needFrom(this.ingest!.start));
  }

  /** For everybody who was told of the transfer, and comes in time. */
  private async lastCall(): Promise<void> {
    await this.readers.gone(
      () => this.ingest!.start,
      LAST_CALL_MS,
      () => !this.abortion.signal.aborted,
    );
  }
}
