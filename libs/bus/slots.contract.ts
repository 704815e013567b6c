import { Deferred } from '#async';
import type { Lane } from './events.js';
import { done, type Handle, Journal, lightPull, pull } from './harness.contract.js';
import type { Bus } from './port.js';
import type { SlotLimits } from './slots.js';

interface Given {
  readonly bus: Bus;
  /** Starts a worker, with 4 interactive slots and 2 of the background where nothing else is said. */
  work(handle: Handle, limits?: SlotLimits): Promise<unknown>;
  /** Resolves when nothing is queued or running. */
  empty(): Promise<unknown>;
}

export function slotContract(given: () => Given): void {
  it('bound how many run at a time, by lane', async () => {
    const { bus, work, empty } = given();
    const running: Record<Lane, number> = { interactive: 0, background: 0 };
    const most: Record<Lane, number> = { interactive: 0, background: 0 };
    const seen = new Journal<string>();
    for (let n = 0; n < 20; n++) {
      await bus.requestPull(pull(n, 'interactive'));
      await bus.requestPull(pull(n, 'background'));
    }
    await work(async ({ key }, { lane }) => {
      most[lane] = Math.max(most[lane], ++running[lane]);
      await bus.depth();
      running[lane]--;
      seen.add(`${lane} ${key}`);
      return done;
    });
    await seen.reached(40);
    await empty();
    expect(new Set(seen.entries).size).toBe(40);
    expect(most).toEqual({ interactive: 4, background: 2 });
  });

  it('take several light pulls for one, and no more of the others beside them', async () => {
    const { bus, work, empty } = given();
    const [order, gate] = [new Journal<string>(), new Deferred()];
    const handle: Handle = async ({ target }) => {
      order.add(target.kind);
      await gate.promise;
      return done;
    };
    for (let n = 0; n < 20; n++) await bus.requestPull(lightPull(n));
    for (let n = 0; n < 3; n++) await bus.requestPull(pull(n));
    await work(handle, { interactive: 3, background: 1, light: 4 });
    await order.reached(12);
    // Whatever else were let in would come within this answer of the bus.
    for (let n = 0; n < 5; n++) await bus.depth();
    expect(order.entries).toEqual(Array(12).fill('manifest'));
    gate.resolve();
    await empty();
    expect(order.entries).toHaveLength(23);
  });

  it('of the interactive lane are never taken by background work', async () => {
    const { bus, work, empty } = given();
    const [seen, gate] = [new Journal<Lane>(), new Deferred()];
    await work(
      async (_, { lane }) => {
        seen.add(lane);
        await gate.promise;
        return done;
      },
      { interactive: 2, background: 1 },
    );
    for (let n = 0; n < 4; n++) await bus.requestPull(pull(n, 'background'));
    await seen.reached(1);
    for (let n = 0; n < 2; n++) await bus.requestPull(pull(n, 'interactive'));
    await seen.reached(3);
    expect(seen.entries).toEqual(['background', 'interactive', 'interactive']);
    gate.resolve();
    await empty();
    expect(seen.entries).toHaveLength(6);
  });

  it('let background work wait while every interactive one is taken', async () => {
    const { bus, work, empty } = given();
    const [order, gate] = [new Journal<string>(), new Deferred()];
    await work(
      async (_, { lane }) => {
        order.add(lane);
        if (lane === 'interactive') await gate.promise;
        return done;
      },
      { interactive: 1, background: 1 },
    );
    await bus.requestPull(pull(1, 'interactive'));
    await order.reached(1);
    await bus.requestPull(pull(2, 'background'));
    // Enough turns and round trips for a delivery that should not be.
    for (let n = 0; n < 20; n++) {
      await new Promise((resolve) => setImmediate(resolve));
      expect((await bus.depth()).background).toBe(1);
    }
    order.add('released');
    gate.resolve();
    await order.reached(3);
    expect(order.entries).toEqual(['interactive', 'released', 'background']);
    await empty();
  });
}
