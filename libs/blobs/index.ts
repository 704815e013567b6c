export * from './port.js';
export { SpanSet } from './spans.js';
