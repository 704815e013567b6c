/** Bytes of a slice while nobody asks for anything else, and while others do: about 250 and 30 µs of this process. */
const ALONE = 1024 * 1024;
const BESIDE_OTHERS = 128 * 1024;
/** Milliseconds that an answered request keeps the slices small. */
const BUSY = 100;

interface Waiting {
  readonly bytes: number;
  readonly go: (bytes: number) => void;
}

/**
 * Streams of blobs hand their bytes to the kernel in slices, in the order in which they asked, one slice in a turn of the event loop.
 * Between two turns the loop looks at its sockets, so that a manifest waits for one slice, not for a whole read buffer of every stream.
 */
export class Turns {
  private readonly waiting: Waiting[] = [];
  private seen = 0;
  private busyUntil = 0;
  private streamed = 0;

  /** `answered` counts the requests of this process, those that take turns too. */
  constructor(private readonly answered: () => number) {}

  /** Resolves when it is the caller's turn, with how many of its `bytes` it may hand over. */
  next(bytes: number): Promise<number> {
    return new Promise((go) => {
      this.waiting.push({ bytes, go });
      if (this.waiting.length === 1) setImmediate(this.give);
    });
  }

  /** An answer of so many bytes is about to be counted. A large one is not what the others make way for. */
  ended(bytes: number): void {
    if (bytes > ALONE) this.streamed++;
  }

  private readonly give = (): void => {
    const slice = this.slice();
    let left = slice;
    // Small ends share a turn.
    do {
      const { bytes, go } = this.waiting.shift()!;
      const given = Math.min(bytes, slice);
      left -= given;
      go(given);
    } while (this.waiting.length > 0 && this.waiting[0]!.bytes <= left);
    // Before whoever got one asks for the next: that is then behind all others.
    if (this.waiting.length > 0) setImmediate(this.give);
  };

  private slice(): number {
    const now = performance.now();
    const others = this.answered() - this.streamed;
    if (others !== this.seen) this.busyUntil = now + BUSY;
    this.seen = others;
    return now < this.busyUntil ? BESIDE_OTHERS : ALONE;
  }
}
