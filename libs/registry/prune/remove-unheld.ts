import { forEach, sleep } from '#async';
import type { BlobStore } from '#blobs';
import type { Catalog, ClaimRef } from '#catalog';
import { type Digest, Failure, type Target } from '#oci';
import type { Log } from '../ports.js';
import { leaseKey } from '../pulls/lease-key.js';

/** Blobs that are claimed, removed and forgotten together. */
const BLOBS = 100;
const REMOVALS = 16;
const LEASE_MS = 30_000;
/** In no catalog: whoever waits for a blob of a real repository sees that this claim is not his. */
const NOBODY = { upstream: 'prune', path: 'prune' };
const POLL_MS = 50;

interface RemovalPorts {
  readonly catalog: Pick<Catalog, 'pruning' | 'pulls'>;
  readonly blobs: Pick<BlobStore, 'remove'>;
  readonly log: Log;
}

/**
 * Removes those of the blobs that no repository holds, each under the lease that guards its pull: bytes, then rows. One that a
 * puller works on stays: it is about to be held again. `worker` is unique per process life; `job` counts them.
 */
export async function removeUnheld(
  digests: readonly Digest[],
  { catalog: { pruning, pulls }, blobs, log }: RemovalPorts,
  worker: string,
  job?: string,
): Promise<readonly Digest[]> {
  const removed: Digest[] = [];
  for (let from = 0; from < digests.length; from += BLOBS) {
    const claims = await claim(digests.slice(from, from + BLOBS), pulls, worker);
    try {
      const unheld = await pruning.unheld([...claims.keys()]);
      // The bytes before the rows: a row without bytes is found again, bytes without a row are not.
      const gone: Digest[] = [];
      await forEach(unheld, REMOVALS, async (digest) => {
        try {
          await blobs.remove(digest);
          gone.push(digest);
        } catch (error) {
          // MinIO keeps what somebody reads slowly. It stays without a holder, for the next sweep.
          log.info({ digest, error: Failure.of(error).message }, 'a blob cannot be removed now');
        }
      });
      await pruning.dropUnheld(gone, job);
      removed.push(...gone);
    } finally {
      await Promise.all([...claims.values()].map((ref) => pulls.release(ref).catch(() => false)));
    }
  }
  return removed;
}

/** Resolves when no prune that saw the blob without a holder can remove its bytes any more. */
export async function notBeingRemoved(digest: Digest, pulls: Catalog['pulls']): Promise<void> {
  for (;;) {
    const row = await pulls.find(keyOf(digest));
    const removing =
      row?.state === 'running' && row.leaseRemaining > 0 && row.target.repository.upstream === NOBODY.upstream;
    if (!removing) return;
    await sleep(POLL_MS);
  }
}

/** The leases of those blobs that nobody works on. */
async function claim(
  digests: readonly Digest[],
  pulls: Catalog['pulls'],
  worker: string,
): Promise<Map<Digest, ClaimRef>> {
  const claims = new Map<Digest, ClaimRef>();
  await Promise.all(
    digests.map(async (digest) => {
      const claim = await pulls.claim(keyOf(digest), targetOf(digest), worker, LEASE_MS);
      if (claim.outcome === 'claimed') claims.set(digest, claim.ref);
    }),
  );
  return claims;
}

const targetOf = (digest: Digest): Target => ({ kind: 'blob', repository: NOBODY, digest });
const keyOf = (digest: Digest): string => leaseKey(targetOf(digest));
