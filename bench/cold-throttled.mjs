import { compareCold } from './cold.mjs';

/** An upstream that gives every connection 20 MB/s: what more of them bring. */
export const coldThrottled = {
  unit: 'cold blob',
  commands: ['cc'],
  clients: 1,
  run(bench) {
    return compareCold({ ...bench, clients: this.clients, each: 20_000_000, through: ['ours', 'nginx'] });
  },
};
