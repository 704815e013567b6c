import {
  AckPolicy,
  type ConsumerConfig,
  type ConsumerInfo,
  DeliverPolicy,
  DiscardPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  type JetStreamManager,
  ReplayPolicy,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from '@nats-io/jetstream';
import { nanos } from '@nats-io/nats-core';
import { LANES, type Lane } from '../events.js';
import type { JetStreamOptions, Names } from './options.js';

/** Messages in the whole queue; a full queue answers UNAVAILABLE. About 600 MB of file when full. */
const MOST_MESSAGES = 1_000_000;

const NAME_IN_USE = new Set([10058, 10148, 10013]);

/**
 * Makes the stream and its two consumers what they should be, whoever made them: roles start in any order and at once.
 * Rejects when the stream exists with another retention or storage, which NATS cannot change.
 */
export async function setUp(
  manager: JetStreamManager,
  names: Names,
  options: JetStreamOptions,
): Promise<Record<Lane, ConsumerInfo>> {
  await ensureStream(manager, names, options.replicas ?? 1);
  const [interactive, background] = await Promise.all(
    LANES.map((lane) => ensureConsumer(manager, names, lane, options.lease ?? 30_000)),
  );
  return { interactive: interactive as ConsumerInfo, background: background as ConsumerInfo };
}

async function ensureStream(manager: JetStreamManager, names: Names, replicas: number): Promise<void> {
  const wanted = {
    subjects: [names.pulls],
    // A second publish of a key that is queued or running is refused; that is the coalescing.
    max_msgs_per_subject: 1,
    discard: DiscardPolicy.New,
    discard_new_per_subject: true,
    max_msgs: MOST_MESSAGES,
    num_replicas: replicas,
  } satisfies Partial<StreamConfig>;
  const fixed = { retention: RetentionPolicy.Workqueue, storage: StorageType.File } satisfies Partial<StreamConfig>;
  const { config } = await existingOr(
    () => manager.streams.info(names.stream),
    () => manager.streams.add({ name: names.stream, ...fixed, ...wanted }),
    JetStreamApiCodes.StreamNotFound,
  );
  if (!includes(config, fixed)) {
    throw new Error(`the NATS stream ${names.stream} exists with another retention or storage; delete it first`);
  }
  if (!includes(config, wanted)) await manager.streams.update(names.stream, wanted);
}

async function ensureConsumer(
  manager: JetStreamManager,
  names: Names,
  lane: Lane,
  lease: number,
): Promise<ConsumerInfo> {
  const wanted = {
    filter_subject: names.lane(lane),
    ack_wait: nanos(lease),
    // Attempts are counted in the pull's row: a message that ran out of deliveries would block its key for ever.
    max_deliver: -1,
    // Postponed messages count as unacknowledged; workers bound what is in flight by their slots.
    max_ack_pending: -1,
  } satisfies Partial<ConsumerConfig>;
  const fixed = {
    durable_name: lane,
    ack_policy: AckPolicy.Explicit,
    deliver_policy: DeliverPolicy.All,
    replay_policy: ReplayPolicy.Instant,
    max_waiting: 4_096,
  } satisfies Partial<ConsumerConfig>;
  const info = await existingOr(
    () => manager.consumers.info(names.stream, lane),
    () => manager.consumers.add(names.stream, { ...fixed, ...wanted }),
    JetStreamApiCodes.ConsumerNotFound,
  );
  return includes(info.config, wanted) ? info : manager.consumers.update(names.stream, lane, wanted);
}

/** Reads; creates what is not there; reads again when another role was quicker. */
async function existingOr<T>(read: () => Promise<T>, create: () => Promise<T>, notFound: number): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof JetStreamApiError && error.code === notFound)) throw error;
  }
  try {
    return await create();
  } catch (error) {
    if (!(error instanceof JetStreamApiError && NAME_IN_USE.has(error.code))) throw error;
  }
  return read();
}

function includes(actual: object, wanted: object): boolean {
  const values = actual as Record<string, unknown>;
  return Object.entries(wanted).every(([name, value]) => JSON.stringify(values[name]) === JSON.stringify(value));
}
