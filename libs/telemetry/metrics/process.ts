import type { PoolState } from '#catalog';
import { gauge, type Metric } from './metric.js';

export interface About {
  readonly version: string;
  readonly role: string;
  readonly stack: string;
}

/** This process, beside what `prom-client` tells of any. */
export function processMetrics({ version, role, stack }: About, pool: () => PoolState | undefined): Metric[] {
  return [
    gauge('build_info', 'Always 1.', ['version', 'role', 'stack'], () => [
      { value: 1, labels: { version, role, stack } },
    ]),
    gauge('database_connections', 'Connections to PostgreSQL.', ['state'], function* () {
      const state = pool();
      if (!state) return;
      yield { value: state.busy, labels: { state: 'busy' } };
      yield { value: state.idle, labels: { state: 'idle' } };
    }),
    gauge('database_waiting', 'Statements that wait for a connection.', [], () => {
      const state = pool();
      return state ? [{ value: state.waiting }] : [];
    }),
  ];
}
