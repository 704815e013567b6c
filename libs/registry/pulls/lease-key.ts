import { createHash } from 'node:crypto';
import { pullKey } from '#bus';
import type { Repository, Target } from '#oci';

/**
 * The row that guards a pull. Blobs share one row over all repositories, since bytes are shared: a layer asked through
 * two repositories at once is still one transfer. The queue's key stays per repository, as permission is.
 */
export function leaseKey(target: Target): string {
  if (target.kind !== 'blob') return pullKey(target);
  return createHash('sha256').update(`bytes\0${target.digest}`).digest('hex').slice(0, 40);
}

export function sameRepository(a: Repository, b: Repository): boolean {
  return a.path === b.path && a.upstream === b.upstream;
}
