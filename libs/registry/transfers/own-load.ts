/** Share of the event loop's time from which this process is taken for the slow one. */
const BUSY = 0.8;

/** Tells whether a measured rate says more about this process (its disk, its other work) than about the upstream. */
export class OwnLoad {
  private load = performance.eventLoopUtilization();
  private looked = Date.now();
  private held = 0;

  /** A connection was kept waiting for so many milliseconds, because we did not take its bytes. */
  heldBack(ms: number): void {
    this.held += ms;
  }

  /** Looks at the time since the last look, which was meant to be `tick` ms. */
  high(tick: number, connections: number): boolean {
    const now = Date.now();
    const late = now - this.looked > 1.5 * tick;
    this.looked = now;
    const before = this.load;
    this.load = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(this.load, before);
    const held = this.held / Math.max(1, connections);
    this.held = 0;
    return late || utilization > BUSY || held > tick / 2;
  }
}
