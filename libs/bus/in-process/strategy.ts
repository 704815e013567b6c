import { decodePull } from '../decode.js';
import { LANES, type PullRequested } from '../events.js';
import { NEWER_MAJOR_DELAY, PullServer, type PullServerOptions, retryDelay } from '../pull-server.js';
import type { Slot } from '../slots.js';
import type { InProcessBus } from './bus.js';
import type { Entry } from './queue.js';

/** Nest transport over an InProcessBus. */
export class InProcessStrategy extends PullServer {
  private detach: (() => void) | undefined;
  private scheduled = false;

  constructor(
    private readonly bus: InProcessBus,
    options: PullServerOptions,
  ) {
    super(options);
  }

  protected async start(): Promise<void> {
    this.detach = this.bus.attach(() => this.wake());
    this.wake();
  }

  protected async stop(): Promise<void> {
    this.detach?.();
  }

  private readonly dispatch = (): void => {
    this.scheduled = false;
    if (this.closed) return;
    for (const lane of LANES) {
      while (this.slots.free(lane) > 0) {
        const entry = this.bus.next(lane, (upstream) => this.slots.mayTake(lane, upstream));
        if (!entry) break;
        this.begin(entry);
      }
    }
  };

  /** At most one look at the queue per turn of the event loop, so that quick handlers do not starve sockets. */
  private wake(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(this.dispatch);
  }

  private begin(entry: Entry): void {
    const decoded = decodePull(entry.raw);
    if (decoded.kind === 'event')
      void this.run(entry, decoded.event, this.slots.take(entry.lane, decoded.event.target));
    else if (decoded.kind === 'newer') this.bus.postpone(entry, NEWER_MAJOR_DELAY);
    else {
      this.logger.warn(`dropped an undecodable message: ${decoded.reason}`);
      this.bus.done(entry);
    }
  }

  private async run(entry: Entry, event: PullRequested, slot: Slot): Promise<void> {
    try {
      const delay = await this.deliver(entry, event, slot);
      if (delay === undefined) this.bus.done(entry);
      else this.bus.postpone(entry, delay);
    } finally {
      slot.end();
      this.wake();
    }
  }

  /** Milliseconds until the next delivery; undefined when there is none. */
  private async deliver(entry: Entry, event: PullRequested, slot: Slot): Promise<number | undefined> {
    try {
      const verdict = await this.handle(event, {
        lane: entry.lane,
        // No lease of a message runs out in here.
        working: () => {},
        release: (why) => {
          if (slot.release(why)) this.wake();
        },
      });
      return verdict.verdict === 'later' ? verdict.delayMs : undefined;
    } catch {
      return retryDelay(entry.attempts);
    }
  }
}
