export * from './auth.js';
export * from './blobs.js';
export * from './certificates.js';
export * from './content.js';
export * from './fake-upstream.js';
export * from './faults.js';
export * from './images.js';
export { type ForwardingProxy, startForwardingProxy } from './proxy.js';
export * from './request-log.js';
