import { Failure } from '#oci';
import { decodePull } from '../decode.js';
import { LANES, type Lane, type PullRequested, type SignalName, type Signals } from '../events.js';
import type { Bus } from '../port.js';
import { SignalHub } from '../signal-hub.js';
import { type Entry, LaneQueue } from './queue.js';

export interface InProcessBusOptions {
  /** Pulls that may wait or run in one lane at a time; 65,536 if not given (some 40 MB when full). */
  readonly capacity?: number;
}

const QUEUED = Promise.resolve('queued' as const);
const COALESCED = Promise.resolve('coalesced' as const);

/** The bus of a process that is everything at once. Its queue lives as long as the process does. */
export class InProcessBus implements Bus {
  private readonly hub = new SignalHub();
  private readonly lanes: Record<Lane, LaneQueue>;
  private wake: (() => void) | undefined;
  private closed = false;

  constructor({ capacity = 65_536 }: InProcessBusOptions = {}) {
    const lane = (name: Lane) => new LaneQueue(name, capacity, () => this.wake?.());
    this.lanes = { interactive: lane('interactive'), background: lane('background') };
  }

  /** Rejects with Failure UNAVAILABLE when the lane is full or the bus is closed. */
  requestPull(event: PullRequested): Promise<'queued' | 'coalesced'> {
    if (this.closed) return Promise.reject(unavailable('the queue is closed'));
    const answer = this.lanes[event.lane].add(event.key, event);
    if (answer === 'queued') return QUEUED;
    if (answer === 'coalesced') return COALESCED;
    return Promise.reject(unavailable('the queue is full'));
  }

  signal<N extends SignalName>(name: N, payload: Signals[N]): void {
    // Not inside the caller's stack: a handler may call back into what is being changed.
    if (!this.closed) queueMicrotask(() => this.hub.dispatch(name, payload));
  }

  onSignal<N extends SignalName>(name: N, handler: (payload: Signals[N]) => void): () => void {
    return this.hub.add(name, handler);
  }

  async queued(limit: number): Promise<PullRequested[]> {
    const found: PullRequested[] = [];
    for (const lane of LANES) {
      for (const { raw } of this.lanes[lane].entries()) {
        if (found.length >= limit) return found;
        const event = eventOf(raw);
        if (event) found.push(event);
      }
    }
    return found;
  }

  async withdraw(key: string): Promise<PullRequested | undefined> {
    const entries = LANES.map((lane) => this.lanes[lane].withdraw(key));
    return eventOf(entries.find((entry) => entry !== undefined)?.raw);
  }

  async depth(): Promise<Record<Lane, number>> {
    return { interactive: this.lanes.interactive.size, background: this.lanes.background.size };
  }

  async oldest(): Promise<Record<Lane, number>> {
    return { interactive: this.lanes.interactive.oldest, background: this.lanes.background.oldest };
  }

  async ping(): Promise<void> {
    if (this.closed) throw unavailable('the queue is closed');
  }

  /** Drops what waits. */
  async close(): Promise<void> {
    this.closed = true;
    for (const lane of LANES) this.lanes[lane].clear();
  }

  /** The one worker; `wake` is called whenever something may have become deliverable. Returns its detachment. */
  attach(wake: () => void): () => void {
    if (this.wake) throw new Error('the in-process bus has one worker');
    this.wake = wake;
    return () => {
      this.wake = undefined;
    };
  }

  next(lane: Lane, may?: (upstream: string) => boolean): Entry | undefined {
    return this.lanes[lane].next(may);
  }

  done(entry: Entry): void {
    this.lanes[entry.lane].remove(entry);
  }

  postpone(entry: Entry, ms: number): void {
    if (!this.closed) this.lanes[entry.lane].postpone(entry, ms);
  }
}

function eventOf(raw: unknown): PullRequested | undefined {
  const decoded = decodePull(raw);
  return decoded.kind === 'event' ? decoded.event : undefined;
}

function unavailable(message: string): Failure {
  return new Failure('UNAVAILABLE', message, { origin: 'bus', retryAfter: 5 });
}
