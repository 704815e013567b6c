import { EVENT_MAJOR, type Lane, type PullRequested, pullKey } from '#bus';
import type { Target } from '#oci';

/** What is asked of pullers. */
export interface PullRequest {
  readonly target: Target;
  readonly lane: Lane;
  readonly cause: PullRequested['cause'];
  readonly requestId?: string;
  readonly via?: string;
  readonly maxAge?: number;
  readonly refetch?: boolean;
  /** Of a tag: it was not known a moment ago. */
  readonly unknown?: boolean;
}

export function eventOf(request: PullRequest): PullRequested {
  return { v: EVENT_MAJOR, key: pullKey(request.target), ...request };
}
