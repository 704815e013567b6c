export * as facts from './facts.js';
export * as inventory from './inventory.js';
export * as keeping from './keeping.js';
export * as lists from './lists.js';
export * as lookups from './lookups.js';
export * as pruning from './pruning.js';
export * as pulls from './pulls.js';
export { EXPIRE_AT_MOST, type Statement } from './statement.js';
export * as upstreams from './upstreams.js';
