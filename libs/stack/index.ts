export { openStack, type Stack } from './stack.js';
export type { Dependency } from './dependency.js';
