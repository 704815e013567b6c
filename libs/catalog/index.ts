export * from './inventory.js';
export * from './patterns.js';
export * from './port.js';
