import { Failure } from '#oci';

/** Node's codes, S3's, and those that stores of its kind use. */
const FULL = new Set([
  'ENOSPC',
  'EDQUOT',
  'EFBIG',
  'InsufficientStorage',
  'QuotaExceeded',
  'XMinioStorageFull',
  'XMinioAdminBucketQuotaExceeded',
]);

/** Whether there is no room for what was to be written. */
export function isFull(error: unknown): boolean {
  const { code, Code } = error as { code?: string; Code?: string };
  return FULL.has(code ?? Code ?? '');
}

/** What went wrong in the store, as clients may see it. Failures pass unchanged; the cause is for the log. */
export function storeFailure(error: unknown): Failure {
  if (error instanceof Failure) return error;
  if (isFull(error))
    return new Failure('UNAVAILABLE', 'the blob store is full', { origin: 'store', retryAfter: 5, cause: error });
  return new Failure('UNAVAILABLE', 'the blob store is not available', { origin: 'store', cause: error });
}

/** The bytes are gone; whoever holds a row that says otherwise pulls again. */
export function blobGone(cause?: unknown): Failure {
  return new Failure('BLOB_UNKNOWN', undefined, { origin: 'store', cause });
}

export function refusedContent(message: string): Failure {
  return new Failure('UPSTREAM_CONTENT', message, { origin: 'upstream' });
}
