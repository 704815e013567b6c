import { compareCold } from './cold.mjs';

/** Many clients at once and a blob that nobody has yet. Directly they would take as many times as long as there are clients. */
export const coldHerd = {
  unit: 'cold blob',
  commands: ['cc'],
  clients: 32,
  run(bench) {
    return compareCold({ ...bench, clients: this.clients, direct: false });
  },
};
