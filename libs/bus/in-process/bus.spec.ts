import { busContract } from '../bus.contract.js';
import { createWorker, done, Journal, pull } from '../harness.contract.js';
import { InProcessBus } from './bus.js';
import { InProcessStrategy } from './strategy.js';

busContract(async () => {
  const bus = new InProcessBus();
  return {
    connect: async () => bus,
    strategy: (given, slots) => new InProcessStrategy(given, { slots }),
    put: async (given, lane, key, message) => {
      await given.requestPull({ ...message, lane, key } as ReturnType<typeof pull>);
    },
    end: () => bus.close(),
  };
});

describe('InProcessBus', () => {
  it('refuses what is beyond its bound, by lane, and takes more when something is done', async () => {
    const bus = new InProcessBus({ capacity: 2 });
    await bus.requestPull(pull(1));
    await bus.requestPull(pull(2));
    const refused = { reason: 'UNAVAILABLE', origin: 'bus', retryable: true, retryAfter: expect.any(Number) };
    await expect(bus.requestPull(pull(3))).rejects.toMatchObject(refused);
    await expect(bus.requestPull(pull(2))).resolves.toBe('coalesced');
    await expect(bus.requestPull(pull(3, 'background'))).resolves.toBe('queued');
    const seen = new Journal<string>();
    const strategy = new InProcessStrategy(bus, { slots: { interactive: 1, background: 1 } });
    const worker = await createWorker(strategy, ({ key }) => {
      seen.add(key);
      return done;
    });
    await worker.listen();
    await seen.reached(3);
    await worker.close();
    await expect(bus.requestPull(pull(3))).resolves.toBe('queued');
  });

  it('starts interactive work before background work that was queued first', async () => {
    const bus = new InProcessBus();
    for (let n = 0; n < 3; n++) await bus.requestPull(pull(n, 'background'));
    for (let n = 0; n < 3; n++) await bus.requestPull(pull(n, 'interactive'));
    const seen = new Journal<string>();
    const strategy = new InProcessStrategy(bus, { slots: { interactive: 1, background: 1 } });
    const worker = await createWorker(strategy, (_, { lane }) => {
      seen.add(lane);
      return done;
    });
    await worker.listen();
    await seen.reached(6);
    await worker.close();
    expect(seen.entries.slice(0, 3)).toEqual(['interactive', 'interactive', 'interactive']);
  });

  it('keeps the order of a lane over thousands of pulls', async () => {
    const bus = new InProcessBus();
    const keys = Array.from({ length: 5_000 }, (_, n) => pull(n).key);
    for (let n = 0; n < keys.length; n++) await bus.requestPull(pull(n));
    const seen = new Journal<string>();
    const strategy = new InProcessStrategy(bus, { slots: { interactive: 8, background: 1 } });
    const worker = await createWorker(strategy, ({ key }) => {
      seen.add(key);
      return done;
    });
    await worker.listen();
    await seen.reached(keys.length);
    await worker.close();
    expect(seen.entries).toEqual(keys);
    expect(await bus.depth()).toEqual({ interactive: 0, background: 0 });
  });

  it('refuses everything once closed, and a second worker at any time', async () => {
    const bus = new InProcessBus();
    bus.attach(() => {});
    expect(() => bus.attach(() => {})).toThrow('one worker');
    await bus.requestPull(pull(1));
    await bus.close();
    await expect(bus.requestPull(pull(2))).rejects.toMatchObject({ reason: 'UNAVAILABLE' });
    await expect(bus.ping()).rejects.toMatchObject({ reason: 'UNAVAILABLE' });
    expect(await bus.depth()).toEqual({ interactive: 0, background: 0 });
  });
});
