import path from 'node:path';
import { FsDriver, type FsDriverOptions } from './fs/driver.js';
import { FsNotes } from './fs/notes.js';
import type { Notes } from './notes.js';
import type { BlobStore } from './port.js';
import { SpoolRoom } from './room.js';
import { S3Driver, type S3DriverOptions } from './s3/driver.js';
import { S3Notes } from './s3/notes.js';
import { VerifiedBlobStore } from './store.js';

interface SpoolOptions {
  /** Bytes that unfinished ingests may take in all; without it there is no bound. */
  readonly spoolBytes?: number;
}

/** Blobs and their unfinished ingests on one file system. Touches nothing until it is used. */
export function createFsBlobStore({ spoolBytes, ...options }: FsDriverOptions & SpoolOptions): BlobStore {
  return new VerifiedBlobStore(new FsDriver(options), path.join(options.path, 'ingest'), new SpoolRoom(spoolBytes));
}

export interface S3BlobStoreOptions extends S3DriverOptions, SpoolOptions {
  /** Directory for the spool files of running transfers; created when missing. Processes may share it. */
  readonly spoolPath: string;
}

/** Blobs in an S3 bucket. Connects on first use, so S3 may be down now; `ping` tells. */
export function createS3BlobStore({ spoolPath, spoolBytes, ...s3 }: S3BlobStoreOptions): BlobStore {
  return new VerifiedBlobStore(new S3Driver(s3), spoolPath, new SpoolRoom(spoolBytes));
}

export function createFsNotes({ path: directory }: FsDriverOptions): Notes {
  return new FsNotes(directory);
}

export function createS3Notes(options: S3DriverOptions): Notes {
  return new S3Notes(options);
}
