import { backoff, sleep } from '#async';
import type { Catalog } from '#catalog';
import { Failure } from '#oci';

const FIRST_MS = 100;
const MOST_MS = 2_000;

/**
 * The catalog as one who has fetched something sees it: what cannot be asked or told now, because the database restarts, is
 * tried again for `patience` ms. What was fetched is not thrown away for it, and nobody is told of a failure.
 */
export function patientCatalog(catalog: Catalog, patience: number, signal: AbortSignal): Catalog {
  return new Proxy(catalog, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key);
      if (typeof value !== 'function') return value;
      return (...given: unknown[]) => patiently(() => value.apply(target, given), patience, signal);
    },
  });
}

/** Tries `work` until it succeeds, fails for what does not pass (all but a catalog that is away), or has been tried for `patience` ms. */
export async function patiently<T>(
  work: () => Promise<T>,
  patience: number,
  signal: AbortSignal,
  passes: (error: unknown) => boolean = isAway,
): Promise<T> {
  const deadline = performance.now() + patience;
  for (let attempt = 0; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (!passes(error) || signal.aborted || performance.now() >= deadline) throw error;
      await sleep(backoff(attempt, FIRST_MS, MOST_MS), signal).catch(() => {});
    }
  }
}

/** Whether the catalog may answer the same question later. */
export function isAway(error: unknown): boolean {
  const { origin, retryable } = Failure.of(error);
  return origin === 'catalog' && retryable;
}

/** Whether the catalog has no room for more, although it can be asked. */
export function isFull(error: unknown): boolean {
  const { origin, reason, retryable } = Failure.of(error);
  return origin === 'catalog' && reason === 'UNAVAILABLE' && !retryable;
}
