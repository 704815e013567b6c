export { InProcessBus, type InProcessBusOptions } from './in-process/bus.js';
export { InProcessStrategy } from './in-process/strategy.js';
export { connectJetStream, type JetStreamBus } from './jetstream/bus.js';
export type { JetStreamOptions } from './jetstream/options.js';
export { JetStreamStrategy } from './jetstream/strategy.js';
export { PULL_REQUESTED } from './pull-server.js';
export type { SlotLimits } from './slots.js';
