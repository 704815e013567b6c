export { atMost } from './at-most.js';
export * from './backoff.js';
export * from './deferred.js';
export * from './for-each.js';
export * from './fresh-flight.js';
export * from './periodic-writer.js';
export * from './single-flight.js';
export * from './timing.js';
