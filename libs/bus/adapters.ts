import type { JetStreamBus } from './jetstream/bus.js';
import type { JetStreamOptions } from './jetstream/options.js';
import type { JetStreamStrategy } from './jetstream/strategy.js';
import type { SlotLimits } from './slots.js';

export { InProcessBus, type InProcessBusOptions } from './in-process/bus.js';
export { InProcessStrategy } from './in-process/strategy.js';
export type { JetStreamOptions } from './jetstream/options.js';
export type { JetStreamStrategy } from './jetstream/strategy.js';
export { PULL_REQUESTED } from './pull-server.js';
export type { SlotLimits } from './slots.js';

interface ConnectedJetStream {
  readonly bus: JetStreamBus;
  /** The transport for pullers. */
  strategy(slots: SlotLimits): JetStreamStrategy;
}

/**
 * Connects once; rejects with Failure UNAVAILABLE. Afterwards it reconnects by itself for ever. NATS's client takes 8 MB, so it is
 * loaded where it is used alone.
 */
export async function connectJetStream(options: JetStreamOptions): Promise<ConnectedJetStream> {
  const [{ connectJetStream: connect }, { JetStreamStrategy: Strategy }] = await Promise.all([
    import('./jetstream/bus.js'),
    import('./jetstream/strategy.js'),
  ]);
  const bus = await connect(options);
  return { bus, strategy: (slots) => new Strategy(bus, { slots }) };
}
