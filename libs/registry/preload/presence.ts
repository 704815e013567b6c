import { backoff, sleep } from '#async';
import type { PullRequested } from '#bus';
import type { Catalog } from '#catalog';
import { type ContentTarget, Failure, isDigest } from '#oci';
import type { Log } from '../ports.js';
import { leaseKey } from '../pulls/lease-key.js';
import type { PullWaits } from '../pulls/pull-waits.js';

export interface PresencePorts {
  readonly catalog: Catalog;
  readonly waits: PullWaits;
  readonly log: Log;
}

export interface PresenceOptions {
  /** Nobody may be asked: what is not cached fails. */
  readonly airGapped: boolean;
  /** How often a failure that may pass is tried. */
  readonly tries: number;
  /** Milliseconds before the second try; doubles. */
  readonly firstPause: number;
}

/** Longest that an upstream's Retry-After is waited out, in ms. */
const MAX_PAUSE = 60_000;

/**
 * Makes one object present by way of the pull queue, behind every client: pullers do the work under their own budgets.
 * Resolves to whether anything had to be asked of a puller. Trouble that may pass is sat out within `tries`.
 */
export async function makePresent(
  target: ContentTarget,
  cause: PullRequested['cause'],
  ports: PresencePorts,
  options: PresenceOptions,
  signal: AbortSignal,
): Promise<boolean> {
  if (await isPresent(target, ports.catalog)) return false;
  if (options.airGapped) {
    if (target.kind === 'manifest' && (await ports.catalog.findTag(target.repository, target.reference))) return false;
    throw new Failure(
      target.kind === 'manifest' ? 'MANIFEST_UNKNOWN' : 'BLOB_UNKNOWN',
      'not in the cache, and this server is air-gapped',
    );
  }
  for (let attempt = 0; ; attempt++) {
    try {
      await outwait(target, cause, ports, signal);
      return true;
    } catch (error) {
      signal.throwIfAborted();
      const failure = Failure.of(error);
      // A request joined a job that failed before ours was asked, or an upstream wants a pause.
      if ((!failure.retryable && failure.reason !== 'RATE_LIMITED') || attempt + 1 >= options.tries) throw failure;
      ports.log.debug({ target, attempt, reason: failure.message }, 'a background pull failed, trying again');
      const pause = Math.max(backoff(attempt, options.firstPause, MAX_PAUSE), (failure.retryAfter ?? 0) * 1000);
      await sleep(Math.min(pause, MAX_PAUSE), signal);
    }
  }
}

/** Whether nothing needs to be asked. A tag always is: only the upstream knows what it names now. */
async function isPresent(target: ContentTarget, catalog: Catalog): Promise<boolean> {
  if (target.kind === 'blob') return (await catalog.findBlob(target.repository, target.digest)) !== undefined;
  return isDigest(target.reference) && (await catalog.findManifest(target.repository, target.reference)) !== undefined;
}

/** A large blob takes longer than any time-out of a wait; as long as a puller holds its lease, it is waited for. */
async function outwait(
  target: ContentTarget,
  cause: PullRequested['cause'],
  { waits, catalog }: PresencePorts,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    try {
      await waits.wait({ target, lane: 'background', cause }, { patient: true, signal });
      return;
    } catch (error) {
      signal.throwIfAborted();
      const failure = Failure.of(error);
      if (failure.reason !== 'UPSTREAM_TIMEOUT') throw failure;
      const row = await catalog.pulls.find(leaseKey(target));
      if (row?.state !== 'running' || row.leaseRemaining <= 0) throw failure;
    }
  }
}
