import { Deferred } from '#async';
import type { Lane } from './events.js';

/** How many pulls of each lane one worker runs at a time. They are counted apart: background takes no interactive slot. */
export type SlotLimits = Readonly<Record<Lane, number>>;

/**
 * The running pulls of one worker.
 *
 * | lane        | may start when                                                              |
 * |-------------|-----------------------------------------------------------------------------|
 * | interactive | one of its slots is free                                                    |
 * | background  | one of its slots is free, and an interactive one too: nobody who waits queues |
 */
export class Slots {
  private readonly running: Record<Lane, number> = { interactive: 0, background: 0 };
  private idle: Deferred | undefined;

  constructor(private readonly limits: SlotLimits) {
    for (const limit of Object.values(limits)) {
      if (!Number.isInteger(limit) || limit < 1) throw new Error('a lane needs at least one slot');
    }
  }

  free(lane: Lane): number {
    if (lane === 'background' && this.running.interactive >= this.limits.interactive) return 0;
    return this.limits[lane] - this.running[lane];
  }

  take(lane: Lane): void {
    this.running[lane]++;
  }

  release(lane: Lane): void {
    this.running[lane]--;
    if (this.busy === 0) this.idle?.resolve();
  }

  get busy(): number {
    return this.running.interactive + this.running.background;
  }

  /** Resolves when nothing runs. The caller bounds the wait and lets nothing new start. */
  async whenIdle(): Promise<void> {
    if (this.busy === 0) return;
    this.idle ??= new Deferred();
    await this.idle.promise;
  }
}
