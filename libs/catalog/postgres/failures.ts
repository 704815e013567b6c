import { Failure } from '#oci';

/** Node's codes for a server that cannot be reached or went away. */
const NETWORK = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'ENOENT',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  // A write to a socket that has just broken.
  'ERR_STREAM_DESTROYED',
  'ERR_STREAM_WRITE_AFTER_END',
  'ERR_SOCKET_CLOSED',
]);

/**
 * SQLSTATE classes and codes that say "not now": connection, resources, operator intervention (shut-down, statement
 * time-out), system error, log-in; a standby after a fail-over; a lock not had in time; conflicts that outlived the retries.
 */
const NOT_NOW = /^(08|53|57|58|28|40)|^25006$|^55P03$/;

/** What `pg` throws without a code: pool and query time-outs, a connection that ended. */
const ENDED =
  /timeout exceeded when trying to connect|connection timeout|timeout expired|Connection terminated|Query read timeout|not queryable|has encountered a connection error|Cannot use a pool after calling end/i;

/** Two statements met; PostgreSQL undid this one, so it may be run again. 23503: what it refers to was just removed. */
export function isConflict(error: unknown): boolean {
  return ['40001', '40P01', '23503'].includes(codeOf(error) ?? '');
}

/** SQLSTATE 22 and 23: the values are at fault, not the server. */
export function isValueError(error: unknown): boolean {
  return /^2[23]/.test(codeOf(error) ?? '');
}

/** SQLSTATE `disk_full`: nothing can be written, what is there can be read. */
const DISK_FULL = '53100';

/** Trouble of the connection as a Failure that a client may retry; anything else is a programming mistake and stays itself. */
export function catalogFailure(error: unknown): unknown {
  if (error instanceof Failure) return error;
  const code = codeOf(error);
  const unavailable = code ? NETWORK.has(code) || NOT_NOW.test(code) : ENDED.test(String(error));
  if (!unavailable) return error;
  if (code === DISK_FULL)
    return new Failure('UNAVAILABLE', 'the catalog is full', {
      origin: 'catalog',
      retryable: false,
      retryAfter: 5,
      cause: error,
    });
  return new Failure('UNAVAILABLE', 'the catalog is unavailable', {
    origin: 'catalog',
    retryable: true,
    retryAfter: 1,
    cause: error,
  });
}

export function overloaded(what: string): Failure {
  return new Failure('UNAVAILABLE', `too many ${what} wait for the catalog`, {
    origin: 'catalog',
    retryable: true,
    retryAfter: 1,
  });
}

function codeOf(error: unknown): string | undefined {
  // An AggregateError of a host with several addresses carries the code of the first itself.
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' ? code : undefined;
}
