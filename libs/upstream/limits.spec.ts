import { Limits } from './limits.js';

describe('Limits', () => {
  beforeEach(() => jest.useFakeTimers({ now: 0 }));
  afterEach(() => jest.useRealTimers());
  const settled = async () => {
    for (let i = 0; i < 5; i++) await Promise.resolve();
  };

  it('lets so many go at a time, those that a client waits for first', async () => {
    const limits = new Limits({ concurrency: 1 });
    const order: string[] = [];
    const enter = async (priority: 'interactive' | 'background', name: string) => {
      const leave = await limits.enter(priority);
      order.push(name);
      return leave;
    };
    const leave = await enter('background', 'first');
    const waiting = [enter('background', 'back'), enter('interactive', 'front')];
    await settled();
    expect(order).toEqual(['first']);
    leave();
    leave();
    await settled();
    expect(order).toEqual(['first', 'front']);
    (await waiting[1]!)();
    await waiting[0];
    expect(order).toEqual(['first', 'front', 'back']);
  });

  it('lets so many go a second', async () => {
    const limits = new Limits({ perSecond: 2 });
    let gone = 0;
    for (let i = 0; i < 5; i++) void limits.enter('interactive').then(() => gone++);
    await settled();
    expect(gone).toBe(2);
    await jest.advanceTimersByTimeAsync(500);
    expect(gone).toBe(3);
    await jest.advanceTimersByTimeAsync(1000);
    expect(gone).toBe(5);
  });

  it('forgets who left', async () => {
    const limits = new Limits({ concurrency: 1 });
    const leave = await limits.enter('interactive');
    const gone = new AbortController();
    const waits = limits.enter('interactive', gone.signal);
    gone.abort(new Error('left'));
    await expect(waits).rejects.toThrow('left');
    await expect(limits.enter('interactive', gone.signal)).rejects.toThrow('left');
    leave();
    await limits.enter('interactive');
  });
});
