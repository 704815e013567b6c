export * from './duties.js';
export * from './holdings.js';
export * from './inventory.js';
export * from './patterns.js';
export * from './port.js';
export * from './pruning.js';
export * from './usage.js';
