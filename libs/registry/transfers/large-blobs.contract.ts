import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BlobStore } from '#blobs';
import { createS3BlobStore } from '#blobs/adapters';
import { hasherFor } from '#oci';
import type { BlobBody } from '#upstream';
import type { S3Service } from '../../../test/support/services/index.js';

export const MiB = 2 ** 20;
/** Bytes. */
export const SPOOL = 64 * MiB;

interface SpooledStore {
  readonly store: BlobStore;
  readonly spoolPath: string;
  close(): Promise<void>;
}

/** A store in S3 behind a spool of `SPOOL` bytes; `endpoint` where it is reached in another way. */
export async function spooledStore(s3: S3Service, prefix: string, endpoint = s3.endpoint): Promise<SpooledStore> {
  const spoolPath = await mkdtemp(join(tmpdir(), `ociregistry-${prefix}-`));
  const { region, accessKey, secretKey } = s3;
  const where = { endpoint, region, accessKey, secretKey, bucket: 'blobs', prefix };
  const store = createS3BlobStore({ ...where, pathStyle: true, spoolPath, spoolBytes: SPOOL });
  await store.ping();
  const close = async () => {
    await store.close();
    await rm(spoolPath, { recursive: true, force: true });
  };
  return { store, spoolPath, close };
}

/** A blob that is never whole in memory, and how an upstream gives it; `onOffset` hears of each MiB before it comes. */
export function largeBlob(size: number, onOffset: (at: number) => void = () => {}) {
  const piece = randomBytes(MiB);
  const bytes = (at: number) => {
    piece.writeUInt32BE(at / MiB);
    return piece;
  };
  const hasher = hasherFor('sha256:');
  for (let at = 0; at < size; at += MiB) hasher.update(bytes(at));
  async function* body() {
    for (let at = 0; at < size; at += MiB) {
      onOffset(at);
      yield Buffer.from(bytes(at));
    }
  }
  const open = async (): Promise<BlobBody> => ({ offset: 0, size, ranges: true, body: body(), abort() {} });
  return { digest: hasher.digest(), open };
}
