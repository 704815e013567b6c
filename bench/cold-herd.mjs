import { compareCold } from './cold.mjs';

/**
 * Many clients at once and a blob that nobody has yet, beside one client that asks the upstream directly: many of those would
 * take as many times as long as there are.
 */
export const coldHerd = {
  unit: 'cold blob',
  commands: ['cc'],
  clients: 32,
  run(bench) {
    return compareCold({ ...bench, clients: this.clients, total: 100e6, through: ['ours', 'spread', 'nginx'] });
  },
};
