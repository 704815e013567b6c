import { backoff, sleep } from '#async';
import { Failure } from '#oci';
import type { Log } from '#registry';

/** Something outside this process (or a child of it) that must be there before a role can do its work. */
export interface Dependency {
  readonly name: string;
  /** Resolves when it answers; rejects with the reason. */
  check(): Promise<void>;
}

/** Tries until it works or the signal aborts, and says what it waits for. */
export async function connectWithPatience<T>(
  name: string,
  connect: () => Promise<T>,
  log: Log,
  signal: AbortSignal,
): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      const value = await connect();
      if (attempt > 0) log.info({ dependency: name }, `${name} is there`);
      return value;
    } catch (error) {
      if (signal.aborted) throw error;
      log.warn(
        { dependency: name, error: error instanceof Error ? error.message : String(error) },
        `waiting for ${name}`,
      );
      await sleep(backoff(attempt, 250, 5000), signal);
    }
  }
}

export function notYet(name: string): Failure {
  return new Failure('UNAVAILABLE', 'the registry is starting', {
    origin: 'internal',
    retryAfter: 1,
    cause: `${name} is not connected`,
  });
}

/**
 * Stands for an object that is still being connected: its methods, all of which return promises, reject UNAVAILABLE until then.
 * Ports inside it (`nested`) are stood for in the same way.
 */
export function standIn<T extends object>(
  name: string,
  current: () => T | undefined,
  nested: readonly (keyof T & string)[] = [],
): T {
  return new Proxy({} as T, {
    get(_, key) {
      if (typeof key !== 'string' || key === 'then') return undefined;
      if (nested.includes(key as keyof T & string))
        return standIn(name, () => current()?.[key as keyof T] as object | undefined);
      const target = current();
      if (!target) return () => Promise.reject(notYet(name));
      const value = target[key as keyof T];
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
