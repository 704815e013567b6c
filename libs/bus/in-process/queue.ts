import type { Lane } from '../events.js';
import { Turns } from './turns.js';

/** One pull in the queue, waiting, running or postponed. `raw` is decoded when it is delivered. */
export interface Entry {
  readonly key: string;
  readonly lane: Lane;
  /** Whose turn it is; empty of what is no event. */
  readonly upstream: string;
  readonly raw: unknown;
  /** `performance.now()` at which it came. */
  readonly since: number;
  /** Deliveries so far. */
  attempts: number;
  /** `performance.now()` before which a postponed entry stays put. */
  due: number;
}

/** Postponed entries are looked at this often at most, in milliseconds: one timer serves them all. */
const TICK = 20;

/**
 * One lane: each key at most once from `add` until `remove`.
 *
 *   add -> ready -> next (running) -> remove
 *            ^            |
 *            +-- due <-- postpone
 */
export class LaneQueue {
  /** By key, the first that came first. */
  private readonly known = new Map<string, Entry>();
  private readonly ready = new Turns<Entry>();
  private readonly postponed = new Set<Entry>();
  private timer: NodeJS.Timeout | undefined;
  private alarm = Number.POSITIVE_INFINITY;

  constructor(
    private readonly lane: Lane,
    private readonly capacity: number,
    private readonly onReady: () => void,
  ) {}

  /** Entries in any state. */
  get size(): number {
    return this.known.size;
  }

  /** Milliseconds since the first of all entries came; 0 without any. */
  get oldest(): number {
    const [first] = this.known.values();
    return first === undefined ? 0 : performance.now() - first.since;
  }

  /** In the order in which they came. */
  entries(): IterableIterator<Entry> {
    return this.known.values();
  }

  add(key: string, raw: unknown): 'queued' | 'coalesced' | 'full' {
    if (this.known.has(key)) return 'coalesced';
    if (this.known.size >= this.capacity) return 'full';
    const upstream = upstreamOf(raw);
    const entry = { key, lane: this.lane, upstream, raw, attempts: 0, due: 0, since: performance.now() };
    this.known.set(key, entry);
    this.ready.push(upstream, entry);
    this.onReady();
    return 'queued';
  }

  /** Upstreams take turns; `may`: whether one may have a pull more. */
  next(may: (upstream: string) => boolean = () => true): Entry | undefined {
    let entry: Entry | undefined;
    do {
      entry = this.ready.shift(may);
      if (!entry) return undefined;
      // Withdrawn ones are passed over here: to search for them where they wait would cost each a scan.
    } while (this.known.get(entry.key) !== entry);
    entry.attempts++;
    return entry;
  }

  remove(entry: Entry): void {
    if (this.known.get(entry.key) === entry) this.known.delete(entry.key);
  }

  withdraw(key: string): Entry | undefined {
    const entry = this.known.get(key);
    this.known.delete(key);
    return entry;
  }

  postpone(entry: Entry, ms: number): void {
    entry.due = performance.now() + ms;
    this.postponed.add(entry);
    this.wakeAt(entry.due);
  }

  clear(): void {
    clearTimeout(this.timer);
    this.known.clear();
    this.postponed.clear();
    this.ready.clear();
  }

  private wakeAt(due: number): void {
    if (due >= this.alarm) return;
    clearTimeout(this.timer);
    this.alarm = due;
    this.timer = setTimeout(() => this.release(), Math.max(0, due - performance.now())).unref();
  }

  private release(): void {
    this.alarm = Number.POSITIVE_INFINITY;
    const now = performance.now();
    let next = Number.POSITIVE_INFINITY;
    let released = false;
    for (const entry of this.postponed) {
      // Timers may fire up to a millisecond early.
      if (entry.due > now + 1) {
        next = Math.min(next, entry.due);
        continue;
      }
      this.postponed.delete(entry);
      this.ready.push(entry.upstream, entry);
      released = true;
    }
    if (next !== Number.POSITIVE_INFINITY) this.wakeAt(Math.max(next, now + TICK));
    if (released) this.onReady();
  }
}

function upstreamOf(raw: unknown): string {
  const { target } = (raw ?? {}) as { target?: { repository?: { upstream?: unknown } } };
  const upstream = target?.repository?.upstream;
  return typeof upstream === 'string' ? upstream : '';
}
