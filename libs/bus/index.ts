export * from './events.js';
export * from './port.js';
