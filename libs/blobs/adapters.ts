import path from 'node:path';
import { FsDriver, type FsDriverOptions } from './fs/driver.js';
import type { BlobStore } from './port.js';
import { VerifiedBlobStore } from './store.js';

/** Blobs and their unfinished ingests on one file system. Touches nothing until it is used. */
export function createFsBlobStore(options: FsDriverOptions): BlobStore {
  return new VerifiedBlobStore(new FsDriver(options), path.join(options.path, 'ingest'));
}
