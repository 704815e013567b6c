/** Bytes that one ingest may always hold, so that each goes on; that it holds at most; that all hold together. */
const LEAST = 4 * 2 ** 20;
const MOST = 16 * 2 ** 20;
const IN_ALL = 64 * 2 ** 20;

/** Written bytes, in memory. */
interface Held {
  readonly offset: number;
  readonly length: number;
}

/** What the overflows of one store hold together. Bytes. */
export class OverflowRoom {
  used = 0;
}

/** What a disk that is full did not take: the latest bytes of one ingest, until their readers have had them. */
export class Overflow<E extends Held> {
  private readonly extents: E[] = [];
  private held = 0;
  private dropped = 0;

  constructor(
    /** Why the disk took no more. */
    readonly error: unknown,
    private readonly room: OverflowRoom,
    private readonly onDrop: (extent: E) => void,
  ) {}

  [Symbol.iterator](): Iterator<E> {
    return this.extents.values();
  }

  /** Bytes before this offset are gone, if any. */
  get gone(): number {
    return this.dropped;
  }

  /**
   * Whether bytes at `offset` may come now, all before `needed` having been read. Half of what may be held is for what is to be read,
   * half for who is a little behind, or has to come again over another connection.
   */
  takes(offset: number, needed: number): boolean {
    const most = this.room.used < IN_ALL ? MOST : LEAST;
    while (this.held >= most && this.drop(needed));
    const start = this.extents[0]?.offset ?? offset;
    return this.held < most && offset - Math.max(start, needed) < most / 2;
  }

  add(extent: E): void {
    const after = this.extents.findIndex(({ offset }) => offset > extent.offset);
    this.extents.splice(after < 0 ? this.extents.length : after, 0, extent);
    this.count(extent.length);
  }

  /** Gives up the oldest extent if it ends at or before `offset`. */
  private drop(offset: number): boolean {
    const [oldest] = this.extents;
    if (!oldest || oldest.offset + oldest.length > offset) return false;
    this.extents.shift();
    this.dropped = oldest.offset + oldest.length;
    this.count(-oldest.length);
    this.onDrop(oldest);
    return true;
  }

  clear(): void {
    while (this.drop(Number.POSITIVE_INFINITY));
  }

  private count(bytes: number): void {
    this.held += bytes;
    this.room.used += bytes;
  }
}
