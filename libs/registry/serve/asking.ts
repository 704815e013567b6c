import type { PullSource } from '#bus';
import { Failure, type Target } from '#oci';
import type { Log } from '../ports.js';
import type { Outcome, PullRequest, PullWaits } from '../pulls/pull-waits.js';
import type { FactCache } from './fact-cache.js';

/** How an answer came about; for logs, metrics and `explain`. */
export type Origin = 'hit' | 'stale' | 'revalidated' | 'joined' | 'fetched' | 'stale-on-error';

export interface RequestContext {
  readonly requestId?: string;
  /** The caches that the request has passed. */
  readonly via?: string;
  readonly signal?: AbortSignal;
}

/** What a client may say of its own pull. */
type Wishes = Pick<PullRequest, 'maxAge' | 'unknown'>;

/** How pullers are asked for what a client wants and we lack. */
export class Asking {
  constructor(
    private readonly waits: PullWaits,
    private readonly facts: FactCache,
    private readonly log: Log,
  ) {}

  request(target: Target, cause: PullRequest['cause'], context: RequestContext, wishes: Wishes = {}): PullRequest {
    const { requestId, via } = context;
    return {
      target,
      lane: 'interactive',
      cause,
      ...(requestId ? { requestId } : {}),
      ...(via ? { via } : {}),
      ...wishes,
    };
  }

  /** Throws the upstream's "no" of a moment ago. */
  refuseKnownNo(target: Target): void {
    const no = this.facts.no(target.repository, referenceOf(target));
    if (no) throw Failure.from(no);
  }

  /**
   * Waits for the pull, or with `attach` for the transfer that brings it. Only the upstream's own "no" is remembered; trouble is
   * told to those who wait and forgotten.
   */
  async wait(request: PullRequest, context: RequestContext, attach = false): Promise<Outcome> {
    const { target } = request;
    try {
      return await this.waits.wait(request, { attach, ...(context.signal ? { signal: context.signal } : {}) });
    } catch (error) {
      const failure = Failure.of(error);
      if (failure.status === 404 || failure.status === 403)
        this.facts.addNo(target.repository, referenceOf(target), failure.toRecord());
      throw failure;
    }
  }

  /** Has what is served meanwhile asked for again, behind every client. */
  revalidate(target: Target, fresh: number, context: RequestContext): void {
    this.waits
      .request({ ...this.request(target, 'revalidate', context, { maxAge: fresh }), lane: 'background' })
      .catch((error: unknown) => this.log.debug({ target, error: String(error) }, 'cannot ask for a revalidation'));
  }
}

/** How it came to the client that waited for it, and from whom. */
export function cameBy({ shared, source }: Outcome): {
  readonly origin: 'joined' | 'fetched';
  readonly source?: PullSource;
} {
  return { origin: shared ? 'joined' : 'fetched', ...(source ? { source } : {}) };
}

/** Whether a cached answer is to be served instead: a "no" about what was once there is an answer, trouble is not. */
export function isTrouble({ status, reason }: Failure): boolean {
  return status >= 500 || reason === 'RATE_LIMITED';
}

/** Under which a "no" is remembered. No tag and no digest holds a slash. */
function referenceOf(target: Target): string {
  if (target.kind === 'manifest' || target.kind === 'tag') return target.reference;
  if (target.kind === 'blob') return target.digest;
  return target.kind === 'tags' ? 'tags/list' : `referrers/${target.digest}`;
}
