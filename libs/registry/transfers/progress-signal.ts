import { type Bus, EVENT_MAJOR } from '#bus';
import { leaseKey } from '../pulls/lease-key.js';
import type { Transfers } from './transfers.js';

/** Transfers that one signal tells of. */
const MOST = 200;

/** Tells every `every` ms what this process's transfers have received, while there are any. Returns its end. */
export function signalProgress(transfers: Transfers, bus: Bus, every: number): () => void {
  const timer = setInterval(() => {
    const running = transfers.all().slice(0, MOST);
    if (running.length === 0) return;
    bus.signal('pull.progress', {
      v: EVENT_MAJOR,
      transfers: running.map(({ repository, digest, progress: { received, size, readers } }) => ({
        row: leaseKey({ kind: 'blob', repository, digest }),
        received,
        readers,
        ...(size === undefined ? {} : { size }),
      })),
    });
  }, every);
  timer.unref();
  return () => clearInterval(timer);
}
