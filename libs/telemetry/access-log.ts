import { PeriodicWriter } from '#async';
import type { Log } from '#registry';

export type AccessClass = 'hits' | 'misses' | 'failures';

/** Which requests get a line: a share (0 to 1) of each class, and all that took at least `slow` ms. */
export type AccessRules = Readonly<Record<AccessClass, number>> & { readonly slow: number };

const EVERY_MS = 100;
/** Lines that wait to be written; what comes on top is counted and dropped rather than kept in memory. */
const MOST_WAITING = 10_000;
/** Lines between two turns of the event loop. */
const AT_A_TIME = 100;

export type LineLevel = 'debug' | 'info';

interface Line {
  readonly level: LineLevel;
  /** Epoch milliseconds. */
  readonly at: number;
  readonly fields: object;
}

/** One line a request, chosen by rule; written behind the requests, since to format a line costs more than a warm hit. */
export class AccessLog extends PeriodicWriter {
  private readonly due: Record<AccessClass, number> = { hits: 0, misses: 0, failures: 0 };
  private waiting: Line[] = [];
  private lost = 0;

  constructor(
    private readonly log: Log,
    private readonly rules: AccessRules,
    /** Whether those that the rules leave out are worth a debug line. */
    private readonly verbose: boolean,
  ) {
    super(EVERY_MS);
  }

  /** Lines dropped since the start. */
  get dropped(): number {
    return this.lost;
  }

  /** The level of this request's line; undefined when it gets none. To be asked once for each request: it counts them. */
  choose(of: AccessClass, ms: number): LineLevel | undefined {
    const share = this.rules[of];
    // Every so many, not by chance: a share of 0.01 is every hundredth.
    this.due[of] += share;
    if (this.due[of] >= 1) {
      this.due[of] -= 1;
      return 'info';
    }
    if (ms >= this.rules.slow) return 'info';
    return this.verbose ? 'debug' : undefined;
  }

  add(level: LineLevel, fields: object): void {
    if (this.waiting.length >= MOST_WAITING) this.lost++;
    else this.waiting.push({ level, at: Date.now(), fields });
  }

  protected async write(): Promise<void> {
    const lines = this.waiting;
    this.waiting = [];
    for (const [place, { level, at, fields }] of lines.entries()) {
      if (place > 0 && place % AT_A_TIME === 0) await new Promise(setImmediate);
      this.log[level]({ at: new Date(at).toISOString(), ...fields }, 'request');
    }
  }
}
