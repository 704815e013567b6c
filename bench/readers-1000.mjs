import { compareCold } from './cold.mjs';

const MIB = 1024 * 1024;

/** As many readers of one cold blob as a rollout has, and fewer of a larger one: what one process takes for them. */
export const readers1000 = {
  unit: 'cold blob',
  commands: ['cc'],
  clients: 1000,
  async run(bench) {
    const settings = { ...bench.settings, rounds: 1 };
    const through = ['ours'];
    const many = await compareCold({ ...bench, settings, clients: this.clients, size: 64 * MIB, through });
    const large = await compareCold({ ...bench, settings, clients: 100, size: 1024 * MIB, through });
    return { cases: [...many.cases, ...large.cases], configs: many.configs };
  },
};
