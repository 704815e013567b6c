import { Failure } from '#oci';
import { isCode } from './file.js';

/** What went wrong in the store, as clients may see it. Failures pass unchanged; the cause is for the log. */
export function storeFailure(error: unknown): Failure {
  if (error instanceof Failure) return error;
  // Asking at once again would only fetch it in vain once more.
  if (isCode(error, 'ENOSPC', 'EDQUOT', 'EFBIG'))
    return new Failure('UNAVAILABLE', 'the blob store is full', { origin: 'store', retryable: false, cause: error });
  return new Failure('UNAVAILABLE', 'the blob store is not available', { origin: 'store', cause: error });
}

/** The bytes are gone; whoever holds a row that says otherwise pulls again. */
export function blobGone(cause?: unknown): Failure {
  return new Failure('BLOB_UNKNOWN', undefined, { origin: 'store', cause });
}

export function refusedContent(message: string): Failure {
  return new Failure('UPSTREAM_CONTENT', message, { origin: 'upstream' });
}
