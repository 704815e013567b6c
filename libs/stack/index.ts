export type { Dependency } from './dependency.js';
export { openStack, type Stack } from './stack.js';
export { tokenKey } from './token-key.js';
