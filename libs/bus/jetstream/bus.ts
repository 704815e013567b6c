import { JetStreamApiError, type MsgRequest } from '@nats-io/jetstream';
import { errors, type Msg } from '@nats-io/transport-node';
import { Logger } from '@nestjs/common';
import { sleep, within } from '#async';
import { decodePullJson } from '../decode.js';
import {
  EVENT_MAJOR,
  LANES,
  type Lane,
  type PullRequested,
  type SignalName,
  type Signals,
  signalSchemas,
} from '../events.js';
import type { Bus } from '../port.js';
import { SignalHub } from '../signal-hub.js';
import { Link, unavailable } from './link.js';
import type { JetStreamOptions } from './options.js';

/** Milliseconds until `requestPull` gives up, and until one try is taken for lost (a repeated one coalesces with it). */
const PUBLISH_BOUND = 2_500;
const TRY_BOUND = 1_000;

/** Connects once; rejects with Failure UNAVAILABLE. Afterwards it reconnects by itself for ever. */
export async function connectJetStream(options: JetStreamOptions): Promise<JetStreamBus> {
  const bus = new JetStreamBus(await Link.open(options));
  // From here on no signal of a peer is missed, because the server has the subscription.
  await bus.ping();
  return bus;
}

/** The bus over NATS: a JetStream work queue for pulls, core NATS for signals. */
export class JetStreamBus implements Bus {
  private readonly logger = new Logger('Signals');
  private readonly hub = new SignalHub();
  private readonly encoder = new TextEncoder();
  private dropped = 0;

  constructor(readonly link: Link) {
    link.connection.subscribe(`${link.names.signals}>`, {
      callback: (error, message) => {
        if (error) this.logger.error(`signals cannot be heard: ${error.message}`);
        else this.hear(message);
      },
    });
  }

  async requestPull(event: PullRequested): Promise<'queued' | 'coalesced'> {
    const subject = this.link.names.pull(event.lane, event.key);
    const body = this.encoder.encode(JSON.stringify(event));
    const deadline = performance.now() + PUBLISH_BOUND;
    for (let cause: unknown; ; ) {
      const left = deadline - performance.now();
      if (left <= 0 || this.link.closed) throw unavailable(undefined, cause);
      try {
        if (!this.link.ready) await this.link.whenReady(left);
        await this.link.client.publish(subject, body, { timeout: Math.min(left, TRY_BOUND) });
        return 'queued';
      } catch (error) {
        if (isCoalesced(error)) return 'coalesced';
        if (error instanceof JetStreamApiError) throw unavailable('the work queue refuses more work', error);
        cause = error;
        if (!(error instanceof errors.TimeoutError)) await this.recover(deadline);
      }
    }
  }

  signal<N extends SignalName>(name: N, payload: Signals[N]): void {
    // A closed connection throws, a broken one forgets.
    if (!this.link.ready) return;
    this.link.connection.publish(this.link.names.signals + name, this.encoder.encode(JSON.stringify(payload)));
  }

  onSignal<N extends SignalName>(name: N, handler: (payload: Signals[N]) => void): () => void {
    return this.hub.add(name, handler);
  }

  async queued(limit: number): Promise<PullRequested[]> {
    const found: PullRequested[] = [];
    for (const lane of LANES) {
      let seq = 0;
      while (found.length < limit) {
        const stored = await this.stored(this.link.names.pull(lane, '*'), seq + 1);
        if (!stored) break;
        seq = stored.seq;
        if (stored.event) found.push(stored.event);
      }
    }
    return found;
  }

  async withdraw(key: string): Promise<PullRequested | undefined> {
    const { manager, names } = this.link;
    let withdrawn: PullRequested | undefined;
    for (const lane of LANES) {
      const subject = names.pull(lane, key);
      withdrawn ??= (await this.stored(subject, 1))?.event;
      await this.bounded(() => manager.streams.purge(names.stream, { filter: subject }));
    }
    return withdrawn;
  }

  async depth(): Promise<Record<Lane, number>> {
    const { manager, names } = this.link;
    const count = async (lane: Lane) => {
      const info = await manager.consumers.info(names.stream, lane);
      return info.num_pending + info.num_ack_pending;
    };
    const [interactive, background] = await this.bounded(() =>
      Promise.all([count('interactive'), count('background')]),
    );
    return { interactive, background };
  }

  async oldest(): Promise<Record<Lane, number>> {
    const { link } = this;
    const age = async (lane: Lane) => {
      // The library's types lack what servers since 2.9 know: the first message from a place on, of a subject.
      const first = { seq: 1, next_by_subj: link.names.pull(lane, '>') } as unknown as MsgRequest;
      const message = await link.manager.streams.getMessage(link.names.stream, first);
      return message ? Math.max(0, Date.now() - message.time.getTime()) : 0;
    };
    const [interactive, background] = await this.bounded(() => Promise.all([age('interactive'), age('background')]));
    return { interactive, background };
  }

  async ping(): Promise<void> {
    await this.bounded(() => this.link.manager.streams.info(this.link.names.stream));
  }

  /** Signals that were heard and were not what the catalogue says, since the start. */
  get signalsDropped(): number {
    return this.dropped;
  }

  /** Sends what is still to be sent (acknowledgements, signals), at most 2 s, and disconnects. Close strategies first. */
  async close(): Promise<void> {
    await this.link.close();
  }

  /** The first message of a subject from `seq` on, whether or not a worker has it. */
  private async stored(subject: string, seq: number): Promise<{ seq: number; event?: PullRequested } | undefined> {
    const { manager, names } = this.link;
    const message = await this.bounded(() => manager.streams.getMessage(names.stream, nextOf(subject, seq)));
    if (!message) return undefined;
    const decoded = decodePullJson(message.string());
    return { seq: message.seq, ...(decoded.kind === 'event' ? { event: decoded.event } : {}) };
  }

  private async bounded<T>(ask: () => Promise<T>): Promise<T> {
    if (!this.link.ready) throw unavailable();
    try {
      return await within(PUBLISH_BOUND, ask(), () => unavailable());
    } catch (error) {
      throw unavailable(undefined, error);
    }
  }

  /** Nobody answered for the stream, or the connection broke. */
  private async recover(deadline: number): Promise<void> {
    await sleep(20);
    const left = Math.max(1, deadline - performance.now());
    await within(left, this.link.repair(), () => unavailable()).catch(() => {});
  }

  private hear(message: Msg): void {
    const name = message.subject.slice(this.link.names.signals.length);
    if (!this.hub.listens(name)) return;
    const payload = decodeSignal(name as SignalName, message);
    if (payload) {
      this.hub.dispatch(name as SignalName, payload);
    } else {
      this.dropped++;
      this.logger.debug(`dropped a malformed or newer ${name}`);
    }
  }
}

function decodeSignal<N extends SignalName>(name: N, message: Msg): Signals[N] | undefined {
  try {
    const parsed = signalSchemas[name].safeParse(message.json());
    return parsed.success && parsed.data.v <= EVENT_MAJOR ? (parsed.data as Signals[N]) : undefined;
  } catch {
    return undefined;
  }
}

/** The first message from `seq` on; every server since 2.9 knows it, the client's types only for direct requests. */
function nextOf(subject: string, seq: number): MsgRequest {
  return { seq, next_by_subj: subject } as MsgRequest;
}

/** 10077 is the code of every store that failed; only this one says that the key is in the queue already. */
function isCoalesced(error: unknown): boolean {
  return (
    error instanceof JetStreamApiError &&
    error.code === 10077 &&
    error.message.includes('maximum messages per subject exceeded')
  );
}
