import { readFileSync } from 'node:fs';

/** Share of the event loop's time from which this process is taken for the slow one. */
const BUSY = 0.8;
/** Share of the time that this process waited for a processor, from which the machine is. */
const STARVED = 0.25;

/** Tells whether a measured rate says more about this process (its disk, its other work) or its machine than about the upstream. */
export class OwnLoad {
  private load = performance.eventLoopUtilization();
  private looked = Date.now();
  private held = 0;
  /** Of the last look; the first one is late enough, and most downloads end before it. */
  private waited: number | undefined;

  /** A connection was kept waiting for so many milliseconds, because we did not take its bytes. */
  heldBack(ms: number): void {
    this.held += ms;
  }

  /** Looks at the time since the last look, which was meant to be `tick` ms. */
  high(tick: number, connections: number): boolean {
    const now = Date.now();
    const elapsed = now - this.looked;
    this.looked = now;
    const before = this.load;
    this.load = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(this.load, before);
    const held = this.held / Math.max(1, connections);
    this.held = 0;
    const waitedBefore = this.waited;
    this.waited = processorWait();
    const starved = this.waited - (waitedBefore ?? this.waited) > STARVED * elapsed;
    return elapsed > 1.5 * tick || starved || utilization > BUSY || held > tick / 2;
  }
}

/** Milliseconds that the main thread was ready to run and did not; 0 where nobody tells (only Linux does). */
function processorWait(): number {
  if (process.platform !== 'linux') return 0;
  try {
    return Number(readFileSync('/proc/self/schedstat', 'latin1').split(' ')[1]) / 1e6 || 0;
  } catch {
    return 0;
  }
}
