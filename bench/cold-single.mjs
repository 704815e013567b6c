import { compareCold } from './cold.mjs';

/** One client and a blob that nobody has yet; the line to be near is the one without a cache. */
export const coldSingle = {
  unit: 'cold blob',
  commands: ['cc'],
  clients: 1,
  run(bench) {
    return compareCold({ ...bench, clients: this.clients, total: 100e6, through: ['ours', 'nginx'] });
  },
};
