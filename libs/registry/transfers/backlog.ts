import { Deferred } from '#async';

/** Bytes received but not yet in the spool before the connections are paused. */
const MOST = 4 * 2 ** 20;

/** What one download has handed on and the spool has not taken yet. */
export class Backlog {
  private bytes = 0;
  private changed: Deferred | undefined;

  add(bytes: number): void {
    this.bytes += bytes;
  }

  taken(bytes: number): void {
    this.bytes -= bytes;
    if (this.bytes < MOST / 2) this.resume();
  }

  /** Waits for room; at once nearly always, and then without a promise. */
  room(): Promise<void> | undefined {
    if (this.bytes < MOST) return undefined;
    this.changed ??= new Deferred();
    return this.changed.promise;
  }

  /** Waits until everything was taken. Rejects with the signal's reason. */
  async empty(signal: AbortSignal): Promise<void> {
    while (this.bytes > 0) {
      signal.throwIfAborted();
      this.changed ??= new Deferred();
      await this.changed.promise;
      if (this.bytes > 0) await new Promise(setImmediate);
    }
  }

  /** Who waits looks again. */
  resume(): void {
    this.changed?.resolve();
    this.changed = undefined;
  }
}
