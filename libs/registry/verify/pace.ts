import { sleep } from '#async';

/** Lets work go on at a bounded rate: what is taken now is paid for by waiting afterwards. */
export class Pace {
  /** When all that was taken is paid for, in ms of `performance.now()`. */
  private free = performance.now();

  /** Units (bytes, objects) a second. */
  constructor(private readonly perSecond: number) {}

  /** Undefined when there is nothing to wait for. */
  take(units: number, signal: AbortSignal): Promise<void> | undefined {
    const now = performance.now();
    this.free = Math.max(this.free, now) + (units / this.perSecond) * 1000;
    const wait = this.free - now;
    // Timers are not exact below that.
    return wait < 5 ? undefined : sleep(wait, signal);
  }
}
