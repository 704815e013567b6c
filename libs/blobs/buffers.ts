/** Milliseconds after which buffers that nobody uses are let go. */
const REST_MS = 100;

/**
 * Reuses buffers of one size. A fresh 1 MiB buffer costs page faults worth a third of the read that fills it.
 * At most `most` are out or idle at once; a taker that finds none left is told so, and never waits: a reader may hold
 * its buffer for as long as its client is slow. When none has been out for a moment, all but an eighth are let go: not at
 * once, since between two bursts of one transfer none is out either, and fresh buffers would pile up before the collector.
 */
export class BufferPool {
  private readonly idle: Buffer[] = [];
  private out = 0;
  private trimming: NodeJS.Timeout | undefined;

  constructor(
    readonly size: number,
    private readonly most: number,
  ) {}

  take(): Buffer | undefined {
    if (this.out >= this.most) return undefined;
    this.out++;
    return this.idle.pop() ?? Buffer.allocUnsafeSlow(this.size);
  }

  /** Gives back what `take` gave. */
  give(buffer: Buffer): void {
    this.out--;
    this.idle.push(buffer);
    if (this.out === 0) this.trimming ??= setTimeout(() => this.trim(), REST_MS).unref();
  }

  /** Counts a taken buffer as gone, since somebody may still be using it. */
  lose(): void {
    this.out--;
  }

  private trim(): void {
    this.trimming = undefined;
    if (this.out === 0) this.idle.length = Math.min(this.idle.length, Math.ceil(this.most / 8));
  }
}
