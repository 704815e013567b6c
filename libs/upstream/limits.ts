import { Deferred } from '#async';
import type { Priority } from './port.js';

export interface LimitOptions {
  /** Requests at a time, until the ends of their bodies. Default no limit. */
  readonly concurrency?: number;
  /** Requests a second, on average; up to one second's worth may go at once. Default no limit. */
  readonly perSecond?: number;
}

/** How many requests one endpoint is asked at a time and how often; whoever waits for a client goes first. */
export class Limits {
  private readonly waiting: Record<Priority, Set<Deferred>> = { interactive: new Set(), background: new Set() };
  private running = 0;
  private tokens: number;
  private filled = Date.now();
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly options: LimitOptions) {
    this.tokens = this.burst;
  }

  /** Resolves with the function that gives the place back; it may be called again. Rejects with the signal's reason. */
  async enter(priority: Priority, signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted();
    const turn = new Deferred();
    const queue = this.waiting[priority];
    const leave = () => {
      if (queue.delete(turn)) turn.reject(signal?.reason);
    };
    queue.add(turn);
    signal?.addEventListener('abort', leave, { once: true });
    this.next();
    try {
      await turn.promise;
    } finally {
      signal?.removeEventListener('abort', leave);
    }
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.running--;
      this.next();
    };
  }

  private next(): void {
    const { concurrency = Number.POSITIVE_INFINITY, perSecond } = this.options;
    this.fill();
    for (const queue of [this.waiting.interactive, this.waiting.background]) {
      for (const turn of queue) {
        if (this.running >= concurrency) return;
        if (perSecond !== undefined && this.tokens < 1) {
          this.later(perSecond);
          return;
        }
        queue.delete(turn);
        this.running++;
        this.tokens--;
        turn.resolve();
      }
    }
  }

  private get burst(): number {
    return Math.max(1, this.options.perSecond ?? 1);
  }

  private fill(): void {
    const now = Date.now();
    this.tokens = Math.min(this.burst, this.tokens + ((now - this.filled) / 1000) * (this.options.perSecond ?? 0));
    this.filled = now;
  }

  private later(perSecond: number): void {
    this.timer ??= setTimeout(
      () => {
        this.timer = undefined;
        this.next();
      },
      Math.ceil(((1 - this.tokens) / perSecond) * 1000),
    );
  }
}
