import type { ConsumerMessages, JsMsg } from '@nats-io/jetstream';
import type { Subscription } from '@nats-io/transport-node';
import { Logger } from '@nestjs/common';
import { backoff, sleep, within } from '#async';
import type { Lane } from '../events.js';
import type { Link } from './link.js';

/** Milliseconds one request for messages stays open at the server, and how often the server shows that it does. */
const EXPIRES = 30_000;
const HEARTBEAT = 5_000;

/**
 * Asks one lane's consumer for as many messages as there are free slots, never more: a message that waits in this
 * process would let its lease run out. Requests are open at the server while slots are free, so that a message is
 * delivered at once; a new one is sent when half of the free slots are not covered by one.
 */
export class LaneFetcher {
  private readonly logger = new Logger('JetStream');
  private readonly open = new Set<ConsumerMessages>();
  private requested = 0;
  private failures = 0;
  private closed = false;
  private resting = false;

  /** `take` gets each message; those that come after `close` began as well. */
  constructor(
    private readonly link: Link,
    private readonly lane: Lane,
    private readonly free: () => number,
    private readonly take: (message: JsMsg) => void,
  ) {}

  fill(): void {
    if (this.closed || this.resting || !this.link.ready) return;
    const free = this.free();
    if (free <= 0 || this.requested * 2 > free) return;
    void this.fetch(free - this.requested);
  }

  /** After a disconnection: what was requested is forgotten by the server. */
  reset(): void {
    for (const messages of this.open) messages.stop();
  }

  /** Takes the messages that are on their way, at most 1 s, and stops. */
  async close(): Promise<void> {
    this.closed = true;
    await Promise.all([...this.open].map(drain));
  }

  private async fetch(batch: number): Promise<void> {
    this.requested += batch;
    let left = batch;
    const asked = performance.now();
    let failed = false;
    try {
      const consumer = this.link.consumer(this.lane);
      const messages = await consumer.fetch({ max_messages: batch, expires: EXPIRES, idle_heartbeat: HEARTBEAT });
      this.open.add(messages);
      try {
        for await (const message of messages) {
          if (left > 0) {
            left--;
            this.requested--;
          }
          this.take(message);
        }
      } finally {
        this.open.delete(messages);
      }
    } catch (error) {
      failed = true;
      this.logger.debug(`fetching ${this.lane} pulls: ${error instanceof Error ? error.message : error}`);
    } finally {
      this.requested -= left;
    }
    if (left < batch) this.failures = 0;
    else if (failed || performance.now() - asked < EXPIRES / 2) await this.rest(failed);
    this.fill();
  }

  /** Leader changes, a deleted consumer, a server without its disk: pause, make what is missing, go on. */
  private async rest(failed: boolean): Promise<void> {
    if (this.closed || this.resting || !this.link.ready) return;
    this.resting = true;
    await sleep(backoff(this.failures++, 50, 5_000));
    if (failed) await this.link.repair();
    this.resting = false;
  }
}

async function drain(messages: ConsumerMessages): Promise<void> {
  // The public `close()` drops what the server has sent already; it would come back only after the lease.
  const { sub } = messages as unknown as { sub?: Subscription };
  await within(1_000, sub?.drain() ?? Promise.resolve(), () => undefined).catch(() => {});
  messages.stop();
}
