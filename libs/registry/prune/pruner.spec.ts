import { Failure } from '#oci';
import { Pruner } from './pruner.js';

const silent = { debug() {}, info() {}, warn() {}, error() {} };

/** A pruner over a catalog whose duty to prune is another's for `busy` looks, and whose steps go as `steps` says. */
function pruner(busy: number, steps: (() => Promise<object | undefined>)[] = []) {
  const states: string[] = [];
  const duty = { renew: async () => true, end: async () => true };
  const catalog = {
    duties: { take: async () => (busy-- > 0 ? undefined : duty) },
    pruning: {
      turn: async (_: string, state: string) => states.push(state) > 0,
      step: async () => steps.shift()?.(),
      find: async () => undefined,
      unheld: async () => [],
      dropUnheld: async () => {},
    },
    pulls: {},
  };
  const ports = { catalog, blobs: {}, bus: { signal() {} }, log: silent };
  const options = { worker: 'w', protection: { servedWithin: 0, keep: [], pins: [] } };
  return { states, pruner: new Pruner(ports as never, options) };
}

describe('Pruner', () => {
  it('waits for another that is over soon, as a sweep is', async () => {
    const { states, pruner: own } = pruner(3);
    expect(await own.start('1')).toBe('started');
    await own.settled();
    expect(states).toEqual(['running', 'done']);
  });

  it('goes on after trouble that passes, and ends with what does not', async () => {
    const away = async () => {
      throw new Failure('UNAVAILABLE', 'the catalog is unavailable', { origin: 'catalog', retryable: true });
    };
    const broken = async () => {
      throw new Error('no such column');
    };
    const step = async () => ({ contents: [], unheld: [] });
    for (const [steps, last] of [
      [[away, step, away], 'done'],
      [[away, step, broken], 'failed'],
    ] as const) {
      const { states, pruner: own } = pruner(0, [...steps]);
      await own.start('1');
      await own.settled();
      expect(states).toEqual(['running', last]);
    }
  });

  it('leaves a job that a stop breaks off to whoever comes next', async () => {
    let broke = () => {};
    const stuck = () => new Promise<undefined>((_, reject) => (broke = () => reject(new Error('connection closed'))));
    const { states, pruner: own } = pruner(0, [stuck]);
    await own.start('1');
    const closed = own.close();
    broke();
    await closed;
    expect(states).toEqual(['running']);
  });
});
