import { type Bus, EVENT_MAJOR, pullKey } from '#bus';
import type { PullLedger, PullRow } from '#catalog';
import { Failure } from '#oci';
import { leaseKey } from './lease-key.js';

/**
 * Ends a pull for an operator: whoever waits for it is told CANCELLED. `key` is that of a row, or of a queued event.
 * Resolves to what it was doing; undefined when there is no such pull any more.
 */
export async function cancelPull(
  key: string,
  { bus, pulls }: { readonly bus: Bus; readonly pulls: PullLedger },
): Promise<'running' | 'queued' | undefined> {
  const named = await pulls.find(key);
  const event = named ? pullKey(named.target) : key;
  // Out of the queue first, so that nobody takes it up again once it has ended.
  const queued = await bus.withdraw(event);
  // A worker may have just taken what was queued.
  const row = named ?? (queued && (await pulls.find(leaseKey(queued.target))));
  if (row && runs(row)) {
    bus.signal('pull.cancelled', { v: EVENT_MAJOR, row: row.key });
    return 'running';
  }
  if (!queued) return undefined;
  bus.signal('pull.finished', { v: EVENT_MAJOR, key: event, failure: new Failure('CANCELLED').toRecord() });
  return 'queued';
}

function runs({ state, leaseRemaining }: PullRow): boolean {
  return state === 'running' && leaseRemaining > 0;
}
