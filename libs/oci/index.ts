export * from './digest.js';
export * from './failure.js';
export * from './manifest.js';
export * from './platform.js';
export * from './range.js';
export * from './reference.js';
export * from './route.js';
export * from './types.js';
