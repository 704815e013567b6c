import { forEach, sleep } from '#async';
import type { BlobStore } from '#blobs';
import type { Catalog, ClaimRef } from '#catalog';
import type { Digest, Target } from '#oci';
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
}

/**
 * Removes those of the blobs that no repository holds, each under the lease that guards its pull: bytes, then rows. One that a
 * puller works on stays: it is about to be held again. `worker` is unique per process life; `job` counts them.
 */
export async function removeUnheld(
  digests: readonly Digest[],
  { catalog: { pruning, pulls }, blobs }: RemovalPorts,
  worker: string,
  job?: string,
): Promise<readonly Digest[]> {
  const removed: Digest[] = [];
  for (let from = 0; from < digests.length; from += BLOBS) {
    const claims = await claim(digests.slice(from, from + BLOBS), pulls, worker);
    try {
      const unheld = await pruning.unheld([...claims.keys()]);
      // The bytes before the rows: a row without bytes is found again, bytes without a row are not.
      await forEach(unheld, REMOVALS, (digest) => blobs.remove(digest));
      await pruning.dropUnheld(unheld, job);
      removed.push(...unheld);
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
