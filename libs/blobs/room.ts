import { Deferred } from '#async';

/** Ingests up to this size in bytes are not counted: they are mostly in memory, and few at a time. */
const UNCOUNTED = 2 ** 20;
/** A window is a whole number of these, which upload parts and write blocks are as well. Bytes. */
const STEP = 8 * 2 ** 20;

/** Room in the spool for one ingest. */
export interface Room {
  /** Bytes that may be in the spool at a time, when that is less than the whole blob. */
  readonly window?: number;
  /** Gives the room back; idempotent. */
  release(): void;
}

interface Waiting {
  readonly bytes: number;
  readonly turn: Deferred;
}

/**
 * What running ingests may take of the disk. Whoever comes when it is full waits, in the order of arrival; one that is
 * larger than the whole, or whose size nobody knows, waits until it is alone and then has all of it.
 */
export class SpoolRoom {
  private used = 0;
  private readonly waiting = new Set<Waiting>();

  /** `most` in bytes; at least 64 MiB, so that several parts of an upload find room. */
  constructor(readonly most: number = Number.POSITIVE_INFINITY) {}

  /** Rejects with the signal's reason. */
  async take(size: number | undefined, signal?: AbortSignal): Promise<Room> {
    signal?.throwIfAborted();
    if (this.most === Number.POSITIVE_INFINITY || (size !== undefined && size <= UNCOUNTED)) return { release() {} };
    const bytes = Math.min(size ?? this.most, this.most);
    const waiting: Waiting = { bytes, turn: new Deferred() };
    this.waiting.add(waiting);
    this.next();
    const leave = () => {
      if (!this.waiting.delete(waiting)) return;
      waiting.turn.reject(signal?.reason);
      this.next();
    };
    signal?.addEventListener('abort', leave, { once: true });
    await waiting.turn.promise.finally(() => signal?.removeEventListener('abort', leave));
    let held = true;
    const release = () => {
      if (!held) return;
      held = false;
      this.used -= bytes;
      this.next();
    };
    if (size !== undefined && size <= this.most) return { release };
    // Two parts of an upload that may have 10,000 of them.
    const parts = Math.ceil((2 * (size ?? 0)) / 10_000 / STEP);
    return { release, window: Math.max(Math.floor(this.most / STEP), parts) * STEP };
  }

  private next(): void {
    for (const waiting of this.waiting) {
      if (this.used + waiting.bytes > this.most) return;
      this.waiting.delete(waiting);
      this.used += waiting.bytes;
      waiting.turn.resolve();
    }
  }
}
