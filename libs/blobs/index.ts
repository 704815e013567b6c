export type { Notes } from './notes.js';
export * from './port.js';
export { SpanSet } from './spans.js';
