export * from './ports.js';
export { PullWaits } from './pulls/pull-waits.js';
export { PullWorker, type WorkerOptions } from './pulls/pull-worker.js';
export type { BlobReader } from './serve/blob-reader.js';
export type { TagRule } from './serve/freshness.js';
export { Registry, type RequestContext, type ServedManifest } from './serve/registry.js';
export { resolveSource, type SourceRules } from './source.js';
export { DOWNLOAD_DEFAULTS } from './transfers/download.js';
export { Transfers } from './transfers/transfers.js';
