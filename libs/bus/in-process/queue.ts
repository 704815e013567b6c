import type { Lane } from '../events.js';

/** One pull in the queue, waiting, running or postponed. `raw` is decoded when it is delivered. */
export interface Entry {
  readonly key: string;
  readonly lane: Lane;
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
  private ready: Entry[] = [];
  private head = 0;
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
    const entry = { key, lane: this.lane, raw, attempts: 0, due: 0, since: performance.now() };
    this.known.set(key, entry);
    this.ready.push(entry);
    this.onReady();
    return 'queued';
  }

  next(): Entry | undefined {
    let entry: Entry | undefined;
    do {
      entry = this.ready[this.head];
      if (!entry) return undefined;
      this.head++;
      // Withdrawn ones are passed over here: to search for them where they wait would cost each a scan.
    } while (this.known.get(entry.key) !== entry);
    // Amortised: each entry is moved at most once on average, and the spent half is given back.
    if (this.head === this.ready.length) {
      this.ready = [];
      this.head = 0;
    } else if (this.head >= 1024 && this.head * 2 >= this.ready.length) {
      this.ready = this.ready.slice(this.head);
      this.head = 0;
    }
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
    this.ready = [];
    this.head = 0;
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
      this.ready.push(entry);
      released = true;
    }
    if (next !== Number.POSITIVE_INFINITY) this.wakeAt(Math.max(next, now + TICK));
    if (released) this.onReady();
  }
}
