import { EventEmitter } from 'node:events';
import {
  type Consumer,
  type JetStreamClient,
  type JetStreamManager,
  jetstream,
  jetstreamManager,
} from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { Logger } from '@nestjs/common';
import { backoff, Deferred, SingleFlight, sleep, within } from '#async';
import { Failure } from '#oci';
import type { Lane } from '../events.js';
import { connectionOptions, type JetStreamOptions, type Names, namesFor } from './options.js';
import { setUp } from './setup.js';

/** Seconds a client is asked to wait while NATS is away: reconnecting takes less once it is back. */
const RETRY_AFTER = 5;

/**
 * One connection to NATS and the knowledge whether it can be used.
 *
 *   open -> ready <---------------------+
 *             | disconnected ("down")   | reconnected, stream and consumers are there ("up")
 *             +------> away ------------+
 *
 * The stream is made again when a server came back without its disk.
 */
export class Link {
  readonly client: JetStreamClient;
  readonly manager: JetStreamManager;
  private readonly events = new EventEmitter<{ up: []; down: [] }>().setMaxListeners(0);
  private readonly logger = new Logger('NATS');
  private readonly repairs = new SingleFlight<void>();
  private readonly closing = new AbortController();
  private consumers: Record<Lane, Consumer> | undefined;
  private connected = true;
  private usable = new Deferred();

  private constructor(
    readonly connection: NatsConnection,
    manager: JetStreamManager,
    readonly names: Names,
    private readonly options: JetStreamOptions,
  ) {
    this.manager = manager;
    this.client = jetstream(connection, { timeout: 2_000 });
    void this.watch();
  }

  /** Tries once; rejects with Failure UNAVAILABLE within some 15 s at most. */
  static async open(options: JetStreamOptions): Promise<Link> {
    const names = namesFor(options.prefix);
    const settings = await connectionOptions(options);
    let connection: NatsConnection;
    try {
      connection = await connect(settings);
    } catch (error) {
      throw unavailable(`cannot connect to NATS: ${reason(error)}`, error);
    }
    const manager = await jetstreamManager(connection, { timeout: 2_000, checkAPI: false });
    const link = new Link(connection, manager, names, options);
    try {
      await within(10_000, link.setUp(), () => new Error('no answer from JetStream'));
      return link;
    } catch (error) {
      await link.close();
      throw unavailable(`cannot set up the queue in NATS: ${reason(error)}`, error);
    }
  }

  get ready(): boolean {
    return this.connected && this.consumers !== undefined && !this.closed;
  }

  consumer(lane: Lane): Consumer {
    if (!this.consumers) throw new Error('the link is not ready');
    return this.consumers[lane];
  }

  /** Resolves when ready; rejects with Failure UNAVAILABLE after `ms`. */
  whenReady(ms: number): Promise<void> {
    return within(ms, this.usable.promise, () => unavailable());
  }

  on(event: 'up' | 'down', listener: () => void): () => void {
    this.events.on(event, listener);
    return () => this.events.off(event, listener);
  }

  /** Makes what is missing in NATS, as often as it takes. Resolves when it is there or the link is closed. */
  repair(): Promise<void> {
    return this.repairs.run('', async () => {
      for (let attempt = 0; !this.closed; attempt++) {
        try {
          if (this.connected) return await this.setUp();
        } catch (error) {
          // Asked in vain while the server elects leaders or reads its disk: normal for seconds.
          if (attempt === 3) this.logger.warn(`the queue in NATS cannot be set up yet: ${reason(error)}`);
        }
        await sleep(backoff(attempt, 100, 3_000), this.closing.signal).catch(() => {});
      }
    });
  }

  get closed(): boolean {
    return this.closing.signal.aborted;
  }

  /** Sends what is still to be sent, at most 2 s, then closes. */
  async close(): Promise<void> {
    if (this.closed) return this.connection.closed().then(() => {});
    this.shut();
    const drained = this.connected ? this.connection.drain() : Promise.resolve();
    await within(2_000, drained, () => undefined).catch(() => {});
    await this.connection.close();
    this.events.removeAllListeners();
  }

  private async setUp(): Promise<void> {
    const info = await setUp(this.manager, this.names, this.options);
    const get = (lane: Lane) => this.client.consumers.getConsumerFromInfo(info[lane]);
    this.consumers = { interactive: get('interactive'), background: get('background') };
    if (this.ready) this.usable.resolve();
  }

  private async watch(): Promise<void> {
    for await (const status of this.connection.status()) {
      if (status.type === 'disconnect') this.down();
      else if (status.type === 'reconnect') void this.reconnected();
      else if (status.type === 'error') this.logger.warn(`NATS says: ${status.error.message}`);
      else if (status.type === 'close') this.ended();
    }
  }

  private ended(): void {
    if (this.closed) return;
    // The client reconnects for ever, so this is a server that told it not to.
    this.logger.error('NATS closed the connection for good');
    this.shut();
  }

  private shut(): void {
    this.closing.abort(unavailable());
    this.usable.reject(this.closing.signal.reason);
  }

  private down(): void {
    if (!this.connected || this.closed) return;
    // Those who wait already go on waiting for the same moment.
    if (this.ready) this.usable = new Deferred();
    this.connected = false;
    this.logger.warn('disconnected');
    this.events.emit('down');
  }

  private async reconnected(): Promise<void> {
    if (this.ready) return;
    this.connected = true;
    this.consumers = undefined;
    await this.repair();
    if (!this.ready || this.closed) return;
    this.logger.log('connected again');
    this.events.emit('up');
  }
}

export function unavailable(message = 'the work queue cannot be reached', cause?: unknown): Failure {
  return new Failure('UNAVAILABLE', message, { origin: 'bus', retryAfter: RETRY_AFTER, cause });
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
