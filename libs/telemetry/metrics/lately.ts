import { within } from '#async';

/**
 * A value that costs something to get, as of lately: whoever reads it is given what is there and starts, at most, the next
 * look behind his back. The dearer a look, the rarer: it takes no more than a hundredth of the time.
 */
export class Lately<T> {
  private known: T | undefined;
  private looking: Promise<void> | undefined;
  private due = 0;

  constructor(
    private readonly look: () => Promise<T>,
    /** Milliseconds that a value is good for at least. */
    private readonly every: number,
  ) {}

  /** Undefined when the last look failed, or none has ended. */
  get value(): T | undefined {
    if (performance.now() >= this.due) void this.refresh();
    return this.known;
  }

  /** Waits for a look only while there is no value, and no longer than `ms`. */
  async first(ms: number): Promise<void> {
    if (this.known !== undefined) return;
    if (performance.now() >= this.due) void this.refresh();
    if (this.looking) await within(ms, this.looking, () => new Error('not yet')).catch(() => {});
  }

  private refresh(): Promise<void> {
    this.looking ??= this.once().finally(() => {
      this.looking = undefined;
    });
    return this.looking;
  }

  private async once(): Promise<void> {
    const began = performance.now();
    try {
      this.known = await this.look();
    } catch {
      this.known = undefined;
    }
    const ended = performance.now();
    this.due = ended + Math.max(this.every, 100 * (ended - began));
  }
}
