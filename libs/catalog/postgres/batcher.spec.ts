import { Deferred } from '#async';
import { Batcher, type BatcherOptions } from './batcher.js';

const options: BatcherOptions<number> = {
  maxBatch: 4,
  maxWaiting: 10,
  maxWait: 60_000,
  concurrency: 1,
  keyOf: String,
  isolate: () => false,
  overloaded: () => new Error('overloaded'),
};

/** Runs that wait for the test. */
function held(more: Partial<BatcherOptions<number>> = {}) {
  const runs: Array<{ items: number[]; end: Deferred<number[]> }> = [];
  let started = new Deferred();
  const batcher = new Batcher<number, number>(
    (items) => {
      const end = new Deferred<number[]>();
      runs.push({ items, end });
      started.resolve();
      return end.promise;
    },
    { ...options, ...more },
  );
  const next = async (count: number) => {
    while (runs.length < count) {
      started = new Deferred();
      await started.promise;
    }
    return runs[count - 1] as (typeof runs)[number];
  };
  return { batcher, runs, next };
}

describe('Batcher', () => {
  it('runs what comes together as one, and what comes meanwhile as the next, each with its own result', async () => {
    const { batcher, runs, next } = held();
    const first = [batcher.submit(1), batcher.submit(2)];
    const run = await next(1);
    const second = [batcher.submit(3), batcher.submit(4), batcher.submit(5)];
    expect(runs).toHaveLength(1);
    run.end.resolve(run.items.map((n) => n * 10));
    expect(await Promise.all(first)).toEqual([10, 20]);
    const other = await next(2);
    expect(other.items).toEqual([3, 4, 5]);
    other.end.resolve(other.items.map((n) => n * 10));
    expect(await Promise.all(second)).toEqual([30, 40, 50]);
  });

  it('never holds more than its most in one run, nor one key twice, and keeps the order of a key', async () => {
    const { batcher, next } = held({ keyOf: (n) => String(n % 5) });
    const all = [1, 6, 2, 3, 4, 0, 11].map((n) => batcher.submit(n));
    const seen: number[][] = [];
    for (let n = 1; n <= 3; n++) {
      const run = await next(n);
      seen.push(run.items);
      run.end.resolve(run.items);
    }
    expect(seen).toEqual([[1, 2, 3, 4], [6, 0], [11]]);
    expect(await Promise.all(all)).toEqual([1, 6, 2, 3, 4, 0, 11]);
  });

  it('rejects what finds no place', async () => {
    const { batcher, next } = held({ maxWaiting: 2 });
    const kept = [batcher.submit(1), batcher.submit(2)];
    await expect(batcher.submit(3)).rejects.toThrow('overloaded');
    const run = await next(1);
    run.end.resolve(run.items);
    expect(await Promise.all(kept)).toEqual([1, 2]);
  });

  it('rejects what has waited too long when its turn comes', async () => {
    const { batcher, runs } = held({ maxWait: -1 });
    await expect(batcher.submit(1)).rejects.toThrow('overloaded');
    expect(runs).toHaveLength(0);
  });

  it('gives each item a run of its own when one of them is at fault', async () => {
    const runs: number[][] = [];
    const batcher = new Batcher<number, number>(
      async (items) => {
        runs.push(items);
        if (items.includes(2)) throw new Error('two');
        return items;
      },
      { ...options, isolate: () => true },
    );
    const results = await Promise.allSettled([1, 2, 3].map((n) => batcher.submit(n)));
    expect(results.map((result) => result.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(runs).toEqual([[1, 2, 3], [1], [2], [3]]);
  });

  it('gives all of a run a failure that is nobody’s fault, and goes on', async () => {
    let down = true;
    const batcher = new Batcher<number, number>(async (items) => {
      if (down) throw new Error('down');
      return items;
    }, options);
    const results = await Promise.allSettled([1, 2].map((n) => batcher.submit(n)));
    expect(results.map((result) => result.status)).toEqual(['rejected', 'rejected']);
    down = false;
    expect(await batcher.submit(3)).toBe(3);
  });

  it('runs as many at once as allowed', async () => {
    const { batcher, next, runs } = held({ concurrency: 2 });
    const one = batcher.submit(1);
    await next(1);
    const two = batcher.submit(2);
    await next(2);
    const three = batcher.submit(3);
    expect(runs.map((run) => run.items)).toEqual([[1], [2]]);
    runs[1]?.end.resolve([2]);
    expect(await two).toBe(2);
    (await next(3)).end.resolve([3]);
    runs[0]?.end.resolve([1]);
    expect(await Promise.all([one, three])).toEqual([1, 3]);
  });

  it('waits for more items before a run where it was told to', async () => {
    jest.useFakeTimers();
    try {
      const runs: number[][] = [];
      const batcher = new Batcher<number, number>(
        async (items) => {
          runs.push(items);
          return items;
        },
        { ...options, linger: 10 },
      );
      const first = batcher.submit(1);
      await jest.advanceTimersByTimeAsync(5);
      const second = batcher.submit(2);
      expect(runs).toEqual([]);
      await jest.advanceTimersByTimeAsync(5);
      expect(await Promise.all([first, second])).toEqual([1, 2]);
      expect(runs).toEqual([[1, 2]]);
    } finally {
      jest.useRealTimers();
    }
  });

  it('does not wait for more than enough', async () => {
    jest.useFakeTimers();
    try {
      const runs: number[][] = [];
      const run = async (items: number[]) => {
        runs.push(items);
        return items;
      };
      const batcher = new Batcher(run, { ...options, linger: 1000, enough: 3 });
      const first = [1, 2, 3].map((item) => batcher.submit(item));
      await jest.advanceTimersByTimeAsync(1);
      expect(await Promise.all(first)).toEqual([1, 2, 3]);
      const rest = batcher.submit(4);
      await jest.advanceTimersByTimeAsync(999);
      expect(runs).toEqual([[1, 2, 3]]);
      await jest.advanceTimersByTimeAsync(1);
      expect(await rest).toBe(4);
      expect(runs).toEqual([[1, 2, 3], [4]]);
    } finally {
      jest.useRealTimers();
    }
  });
});
