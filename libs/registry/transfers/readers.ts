import { sleep } from '#async';

/** Milliseconds after which a reader that has not taken a chunk keeps the others waiting no longer. */
const STUCK_MS = 5_000;
/** How often they are looked for. Milliseconds. */
const LOOK_MS = 500;

export interface Reader {
  /** Offset of the next byte that it gets. */
  position: number;
  /** Since when it takes a chunk; `performance.now()`. */
  taking?: number | undefined;
}

/** Who reads a transfer, and how far each one is. */
export class Readers {
  private readonly reading = new Set<Reader>();
  /** How many there have been. */
  seen = 0;

  /** `onIdle`: nobody reads any more (`true`), or somebody does again. */
  constructor(private readonly onIdle: (idle: boolean) => void) {}

  get size(): number {
    return this.reading.size;
  }

  /** Resolves with true when nobody was alive at `start` or further for `ms`, with false as soon as `goOn`, which is asked all the while, says so. */
  async gone(start: () => number, ms: number, goOn: () => boolean): Promise<boolean> {
    for (let alone = 0; alone < ms; alone += LOOK_MS) {
      await sleep(LOOK_MS);
      if (!goOn()) return false;
      if (this.someAlive(start())) alone = 0;
    }
    return true;
  }

  /** Whether some are at `start` or further, and take what they are given. */
  someAlive(start: number): boolean {
    return [...this.reading].some((reader) => reader.position >= start && !isStuck(reader));
  }

  enter(position: number): Reader {
    const reader: Reader = { position };
    this.reading.add(reader);
    this.seen++;
    if (this.reading.size === 1) this.onIdle(false);
    return reader;
  }

  leave(reader: Reader): void {
    this.reading.delete(reader);
    if (this.reading.size === 0) this.onIdle(true);
  }

  /**
   * What comes before it is wanted by none of those that are at `start` or further: who is stuck does not count while others are
   * not. 0 without readers.
   */
  needFrom(start: number): number {
    let alive: number | undefined;
    let all: number | undefined;
    for (const reader of this.reading) {
      const { position } = reader;
      if (position < start) continue;
      all = Math.min(all ?? position, position);
      if (!isStuck(reader)) alive = Math.min(alive ?? position, position);
    }
    return alive ?? all ?? 0;
  }
}

function isStuck({ taking }: Reader): boolean {
  return taking !== undefined && performance.now() - taking > STUCK_MS;
}
