import { pull } from './harness.contract.js';
import { Slots } from './slots.js';

const blob = pull(1).target;

describe('Slots', () => {
  it('gives a place to the next pull when one needs it no longer, and waits for both ends', async () => {
    const slots = new Slots({ interactive: 1, background: 1 });
    const first = slots.take('interactive', blob);
    expect(slots.free('interactive')).toBe(0);
    expect(first.release('recording')).toBe(true);
    expect(first.release('recording')).toBe(false);
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
    expect(given.every((slot) => slot.release('recording'))).toBe(true);
    const one = slots.take('interactive', blob);
    expect(one.release('recording')).toBe(false);
    expect(slots.free('interactive')).toBe(0);
    given[0]?.end();
    expect(one.release('recording')).toBe(true);
  });

  it('keeps an upstream that hangs to half of the slots, and takes them away from its pulls', () => {
    const slots = new Slots({ interactive: 4, background: 1 });
    const { upstream } = blob.repository;
    const hanging = Array.from({ length: 4 }, () => slots.take('interactive', blob));
    expect([slots.free('interactive'), slots.mayTake('interactive', upstream)]).toEqual([0, true]);
    for (const slot of hanging) expect(slot.release('stalled')).toBe(true);
    expect(slots.free('interactive')).toBe(4);
    hanging.push(slots.take('interactive', blob));
    expect(slots.mayTake('interactive', upstream)).toBe(true);
    hanging.push(slots.take('interactive', blob));
    expect(slots.mayTake('interactive', upstream)).toBe(false);
    expect([slots.mayTake('interactive', 'other.example'), slots.free('interactive')]).toEqual([true, 2]);
    for (const slot of hanging) slot.end();
    expect([slots.mayTake('interactive', upstream), slots.busy]).toEqual([true, 0]);
  });

  it('keeps the slots of an upstream of which too many hang', () => {
    const slots = new Slots({ interactive: 1, background: 1 });
    const given = Array.from({ length: 65 }, () => slots.take('interactive', blob));
    expect(given.map((slot) => slot.release('stalled')).filter(Boolean)).toHaveLength(64);
  });
});
