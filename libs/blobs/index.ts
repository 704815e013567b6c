export type { Notes } from './notes.js';
export * from './port.js';
export { type Lent, SharedReads, Shelf } from './shared-reads.js';
export { SpanSet } from './spans.js';
