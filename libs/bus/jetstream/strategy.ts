import type { JsMsg } from '@nats-io/jetstream';
import { decodePullJson } from '../decode.js';
import { LANES, type Lane, type PullRequested } from '../events.js';
import { NEWER_MAJOR_DELAY, PullServer, type PullServerOptions, retryDelay } from '../pull-server.js';
import type { Slot } from '../slots.js';
import type { JetStreamBus } from './bus.js';
import { LaneFetcher } from './lane-fetcher.js';
import type { Link } from './link.js';

/** Milliseconds until a pull comes again whose upstream hangs and has its share of the slots. */
const SHARE_DELAY = 2_000;
/** Milliseconds that the fate of a message is kept for NATS to come back. */
const SETTLE_BOUND = 600_000;

/** Nest transport over the JetStream work queue. Shares the bus's connection, and is closed before it. */
export class JetStreamStrategy extends PullServer {
  private readonly link: Link;
  private readonly fetchers: readonly LaneFetcher[];
  private readonly listeners: (() => void)[] = [];

  constructor(bus: JetStreamBus, options: PullServerOptions) {
    super(options);
    this.link = bus.link;
    this.fetchers = LANES.map(
      (lane) =>
        new LaneFetcher(
          bus.link,
          lane,
          () => this.slots.free(lane),
          (message) => this.take(lane, message),
        ),
    );
  }

  protected async start(): Promise<void> {
    this.listeners.push(
      this.link.on('up', () => this.fill()),
      this.link.on('down', () => {
        for (const fetcher of this.fetchers) fetcher.reset();
      }),
    );
    this.fill();
  }

  protected async stop(): Promise<void> {
    for (const remove of this.listeners) remove();
    await Promise.all(this.fetchers.map((fetcher) => fetcher.close()));
  }

  /** Interactive first. */
  private fill(): void {
    for (const fetcher of this.fetchers) fetcher.fill();
  }

  private take(lane: Lane, message: JsMsg): void {
    // Requested while there was room for it; another worker may have some.
    if (this.closed || this.slots.free(lane) <= 0) {
      message.nak();
      return;
    }
    const decoded = decodePullJson(message.string());
    if (decoded.kind === 'event' && !this.slots.mayTake(lane, decoded.event.target.repository.upstream)) {
      // Those of other upstreams that are queued behind it come first.
      message.nak(SHARE_DELAY);
      this.fill();
    } else if (decoded.kind === 'event') {
      void this.run(lane, decoded.event, message, this.slots.take(lane, decoded.event.target));
      // A light pull leaves room for more.
      this.fill();
    } else if (decoded.kind === 'newer') {
      message.nak(NEWER_MAJOR_DELAY);
    } else {
      this.logger.warn(`dropped an undecodable message: ${decoded.reason}`);
      message.term('undecodable');
    }
  }

  private async run(lane: Lane, event: PullRequested, message: JsMsg, slot: Slot): Promise<void> {
    let delay: number | undefined;
    try {
      const verdict = await this.handle(event, {
        lane,
        working: () => this.working(message),
        release: (why) => {
          if (slot.release(why)) this.fill();
        },
      });
      if (verdict.verdict === 'later') delay = verdict.delayMs;
    } catch {
      delay = retryDelay(message.info.deliveryCount);
    }
    slot.end();
    this.fill();
    await this.settle(message, delay);
  }

  /** While NATS is away the client forgets what it is given; the message would stay taken until its lease ends. */
  private async settle(message: JsMsg, delay: number | undefined): Promise<void> {
    try {
      if (!this.link.ready) await this.link.whenReady(SETTLE_BOUND);
      if (delay === undefined) message.ack();
      else message.nak(delay);
    } catch (error) {
      this.logger.warn(`a message is left to its lease: ${error instanceof Error ? error.message : error}`);
    }
  }

  /** A closed connection throws, a broken one forgets. */
  private working(message: JsMsg): void {
    if (this.link.ready) message.working();
  }
}
