import { Failure, type FailureReason, parseRetryAfter } from '#oci';
import { ADDRESS_REFUSED } from './addresses.js';
import type { Answer } from './transport.js';

const TIMEOUTS: ReadonlySet<string> = new Set([
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'ETIMEDOUT',
]);
const BROKEN: ReadonlySet<string> = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);

export interface FailureDetails {
  readonly retryable?: boolean;
  readonly retryAfter?: number;
  readonly cause?: unknown;
}

/** A Failure whose origin is the upstream. `message` is for clients: no URL, no token, no internal name. */
export function upstreamFailure(reason: FailureReason, message?: string, details: FailureDetails = {}): Failure {
  return new Failure(reason, message, { origin: 'upstream', ...details });
}

/** What a connection, request or body that broke means; Failures pass. */
export function connectionFailure(error: unknown): Failure {
  if (error instanceof Failure) return error;
  const code = codeOf(error);
  if (TIMEOUTS.has(code)) return upstreamFailure('UPSTREAM_TIMEOUT', undefined, { cause: error });
  if (code === ADDRESS_REFUSED) {
    const message = 'the upstream registry leads to an address that is not allowed';
    return upstreamFailure('UPSTREAM_ERROR', message, { cause: error, retryable: false });
  }
  return upstreamFailure('UPSTREAM_ERROR', undefined, { cause: error });
}

/** A kept-alive connection that the other side had already given up ends like this. */
export function isBrokenConnection(error: unknown): boolean {
  return BROKEN.has(codeOf(error));
}

/**
 * What an answer other than success means (A94). 404 and 410 become `unknown`, 401 and 403 DENIED: they come here only
 * after the token flow.
 */
export function statusFailure(answer: Answer, unknown: 'MANIFEST_UNKNOWN' | 'BLOB_UNKNOWN' | 'NAME_UNKNOWN'): Failure {
  const { status } = answer;
  if (status === 404 || status === 410) return upstreamFailure(unknown);
  if (status === 401 || status === 403) return denied();
  if (status === 429) return rateLimited(answer);
  if (status === 508)
    return upstreamFailure('LOOP', 'the upstream registry leads back to this server', { retryable: false });
  if (status === 408) return upstreamFailure('UPSTREAM_TIMEOUT');
  return upstreamFailure('UPSTREAM_ERROR', `the upstream registry answered with status ${status}`, {
    retryable: status >= 500,
    retryAfter: status >= 500 ? retryAfterOf(answer) : undefined,
  });
}

export function denied(): Failure {
  return upstreamFailure('DENIED', 'the upstream registry denied access');
}

export function rateLimited(answer: Answer): Failure {
  return upstreamFailure('RATE_LIMITED', undefined, { retryable: true, retryAfter: retryAfterOf(answer) });
}

function retryAfterOf(answer: Answer): number | undefined {
  return parseRetryAfter(answer.header('retry-after'), Date.now());
}

function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' ? code : '';
}
