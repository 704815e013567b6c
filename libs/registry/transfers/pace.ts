import { OwnLoad } from './own-load.js';

/** How often it is looked at, in ms. */
export const TICK_MS = 250;
/** Short downloads, and the start of every one, are left to one connection. */
const SETTLE_MS = 1000;
/** Several connections that bring less than this part of what one did, for so many ticks, are too many. */
const TOO_MANY = 0.7;
const TOO_MANY_TICKS = 4;

/** Judges from what comes whether a download wants more connections or fewer. */
export class Pace {
  private readonly load = new OwnLoad();
  private bestRate = 0;
  private lastOpened = Date.now();
  /** Bytes a second of the first connection, when it got company. */
  private firstRate = 0;
  private slowTicks = 0;
  private helped = true;

  /** `fastEnough`: bytes a second of one connection. */
  constructor(private readonly fastEnough: number) {}

  /** A connection was opened. */
  opened(): void {
    this.lastOpened = Date.now();
  }

  /** Milliseconds since the last connection was opened. */
  get settled(): number {
    return Date.now() - this.lastOpened;
  }

  /** A connection was held back for so many milliseconds by what takes its bytes. */
  heldBack(ms: number): void {
    this.load.heldBack(ms);
  }

  /** Once a tick. `total`: bytes a second over all `connections`; `mayOpen`: whether more are allowed at all. */
  judge(total: number, connections: number, mayOpen: boolean): 'more' | 'fewer' | 'enough' {
    // More connections would only make it worse.
    if (this.load.high(TICK_MS, connections)) return 'enough';
    this.slowTicks = connections > 1 && total < this.firstRate * TOO_MANY ? this.slowTicks + 1 : 0;
    if (this.slowTicks >= TOO_MANY_TICKS) {
      this.helped = false;
      return 'fewer';
    }
    if (!mayOpen || this.settled < (connections > 1 ? 2 * TICK_MS : SETTLE_MS)) return 'enough';
    if (total / connections >= this.fastEnough) return 'enough';
    // A connection that added nothing shows that the line, not the connection, is the limit.
    if (connections > 1) this.helped = total > this.bestRate * 1.2;
    if (!this.helped) return 'enough';
    this.bestRate = Math.max(this.bestRate, total);
    if (connections === 1) this.firstRate = total;
    return 'more';
  }
}
