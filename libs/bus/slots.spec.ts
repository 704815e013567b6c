import { pull } from './harness.contract.js';
import { Slots } from './slots.js';

const blob = pull(1).target;

describe('Slots', () => {
  it('gives a place to the next pull when one needs it no longer, and waits for both ends', async () => {
    const slots = new Slots({ interactive: 1, background: 1 });
    const first = slots.take('interactive', blob);
    expect(slots.free('interactive')).toBe(0);
    expect(first.release()).toBe(true);
    expect(first.release()).toBe(false);
    expect(slots.free('interactive')).toBe(1);
    const second = slots.take('interactive', blob);
    second.end();
    let idle = false;
    const end = slots.whenIdle().then(() => {
      idle = true;
    });
    await Promise.resolve();
    expect(idle).toBe(false);
    first.end();
    first.end();
    await end;
    expect(slots.busy).toBe(0);
  });

  it('lets no more than a bound of them give their places up', () => {
    const slots = new Slots({ interactive: 1, background: 1 });
    const given = Array.from({ length: 256 }, () => slots.take('interactive', blob));
    expect(given.every((slot) => slot.release())).toBe(true);
    const one = slots.take('interactive', blob);
    expect(one.release()).toBe(false);
    expect(slots.free('interactive')).toBe(0);
    given[0]?.end();
    expect(one.release()).toBe(true);
  });
});
