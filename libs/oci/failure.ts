/** Every way a request can fail, in one table: distribution-spec "Error Codes" code, HTTP status, what it means. */
export const FAILURES = {
  MANIFEST_UNKNOWN: { code: 'MANIFEST_UNKNOWN', status: 404, message: 'manifest unknown to registry' },
  BLOB_UNKNOWN: { code: 'BLOB_UNKNOWN', status: 404, message: 'blob unknown to registry' },
  NAME_UNKNOWN: { code: 'NAME_UNKNOWN', status: 404, message: 'repository name not known to registry' },
  NOT_FOUND: { code: 'UNSUPPORTED', status: 404, message: 'no such endpoint' },
  NAME_INVALID: { code: 'NAME_INVALID', status: 400, message: 'invalid repository name' },
  DIGEST_INVALID: { code: 'DIGEST_INVALID', status: 400, message: 'invalid digest' },
  MANIFEST_INVALID: { code: 'MANIFEST_INVALID', status: 400, message: 'invalid tag or manifest reference' },
  PAGINATION_NUMBER_INVALID: { code: 'PAGINATION_NUMBER_INVALID', status: 400, message: 'invalid page size' },
  TOKEN_REQUEST_INVALID: { code: 'UNSUPPORTED', status: 400, message: 'invalid request for a token' },
  UNAUTHORIZED: { code: 'UNAUTHORIZED', status: 401, message: 'authentication required' },
  DENIED: { code: 'DENIED', status: 403, message: 'access to the resource is denied' },
  METHOD_NOT_ALLOWED: { code: 'UNSUPPORTED', status: 405, message: 'this registry is pull-only' },
  RANGE_INVALID: { code: 'UNSUPPORTED', status: 416, message: 'requested range not satisfiable' },
  RANGES_UNSUPPORTED: { code: 'UNSUPPORTED', status: 400, message: 'only one range at a time is served' },
  TOO_MANY_LOGINS: { code: 'TOOMANYREQUESTS', status: 429, message: 'too many passwords to check at once' },
  RATE_LIMITED: { code: 'TOOMANYREQUESTS', status: 429, message: 'the upstream registry is rate limiting' },
  INTERNAL: { code: 'UNKNOWN', status: 500, message: 'internal error' },
  UPSTREAM_ERROR: { code: 'UNKNOWN', status: 502, message: 'the upstream registry failed' },
  UPSTREAM_CONTENT: { code: 'UNKNOWN', status: 502, message: 'the upstream registry sent content that was refused' },
  UNAVAILABLE: { code: 'UNAVAILABLE', status: 503, message: 'temporarily unable to fetch' },
  UPSTREAM_PAUSED: {
    code: 'UNAVAILABLE',
    status: 503,
    message: 'the upstream registry is paused',
  },
  CANCELLED: { code: 'UNAVAILABLE', status: 503, message: 'the pull was cancelled by an operator' },
  LOOP: { code: 'UNSUPPORTED', status: 508, message: 'this request has come from this server itself' },
  UPSTREAM_TIMEOUT: { code: 'UNKNOWN', status: 504, message: 'the upstream registry did not answer in time' },
} as const;

export type FailureReason = keyof typeof FAILURES;

/** A failure as it travels in rows and events. */
export interface FailureRecord {
  readonly reason: FailureReason;
  /** For people; never carries upstream URLs, tokens or internal names. */
  readonly message: string;
  /** Which side failed. */
  readonly origin: 'client' | 'upstream' | 'store' | 'catalog' | 'bus' | 'internal';
  readonly retryable: boolean;
  /** Seconds. */
  readonly retryAfter?: number;
}

/** The only error that crosses module borders on purpose. Match on `reason`, never on `instanceof` across processes. */
export class Failure extends Error implements FailureRecord {
  override readonly name = 'Failure';
  readonly origin: FailureRecord['origin'];
  readonly retryable: boolean;
  readonly retryAfter?: number;

  constructor(
    readonly reason: FailureReason,
    message?: string,
    options: { origin?: FailureRecord['origin']; retryable?: boolean; retryAfter?: number; cause?: unknown } = {},
  ) {
    super(message ?? FAILURES[reason].message, options.cause === undefined ? undefined : { cause: options.cause });
    this.origin = options.origin ?? (FAILURES[reason].status < 500 ? 'client' : 'internal');
    // Bytes that were refused once, and what somebody stopped, are not asked for again by themselves: the next request does that.
    const final = reason === 'UPSTREAM_CONTENT' || reason === 'CANCELLED';
    this.retryable = options.retryable ?? (FAILURES[reason].status >= 500 && !final);
    if (options.retryAfter !== undefined) this.retryAfter = options.retryAfter;
  }

  get status(): number {
    return FAILURES[this.reason].status;
  }

  toRecord(): FailureRecord {
    return {
      reason: this.reason,
      message: this.message,
      origin: this.origin,
      retryable: this.retryable,
      ...(this.retryAfter === undefined ? {} : { retryAfter: this.retryAfter }),
    };
  }

  static from(record: FailureRecord): Failure {
    // A newer peer may send a reason this version does not know.
    const reason = record.reason in FAILURES ? record.reason : 'INTERNAL';
    return new Failure(reason, record.message, record);
  }

  /** Any thrown value as a Failure; unknown ones become INTERNAL without leaking their text. */
  static of(error: unknown): Failure {
    return error instanceof Failure ? error : new Failure('INTERNAL', undefined, { cause: error });
  }
}
