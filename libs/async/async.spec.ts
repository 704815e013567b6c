import fc from 'fast-check';
import { backoff, Deferred, FreshFlight, SingleFlight, sleep, unless, within } from './index.js';

describe('FreshFlight', () => {
  it('gives each caller a run that began after it asked, shared with all who waited for it', async () => {
    const flights = new FreshFlight<number>();
    const gates = [new Deferred(), new Deferred()];
    let runs = 0;
    const work = async () => {
      const run = runs++;
      await gates[run]?.promise;
      return run;
    };
    const first = flights.run('a', work);
    await Promise.resolve();
    const others = [flights.run('a', work), flights.run('a', work)];
    expect(runs).toBe(1);
    gates[0]!.resolve();
    expect(await first).toBe(0);
    const later = flights.run('a', work);
    gates[1]!.resolve();
    expect(await Promise.all([...others, later])).toEqual([1, 1, 2]);
    expect(await flights.run('a', work)).toBe(3);
  });

  it('starts anew after a failure, for those who waited too', async () => {
    const flights = new FreshFlight<number>();
    const gate = new Deferred<number>();
    const first = flights.run('a', () => gate.promise);
    const second = flights.run('a', async () => 2);
    gate.reject(new Error('no'));
    await expect(first).rejects.toThrow('no');
    expect(await second).toBe(2);
  });
});

describe('SingleFlight', () => {
  it('gives every caller of one key the same run', async () => {
    const flights = new SingleFlight<number>();
    const gate = new Deferred<number>();
    let runs = 0;
    const work = () => {
      runs++;
      return gate.promise;
    };
    const all = [flights.run('a', work), flights.run('a', work), flights.run('a', work)];
    gate.resolve(7);
    expect(await Promise.all(all)).toEqual([7, 7, 7]);
    expect(runs).toBe(1);
    expect(flights.size).toBe(0);
  });

  it('gives every caller the failure, and starts anew afterwards', async () => {
    const flights = new SingleFlight<number>();
    const fail = () => {
      throw new Error('no');
    };
    const results = await Promise.allSettled([flights.run('a', fail), flights.run('a', fail)]);
    expect(results.map((r) => r.status)).toEqual(['rejected', 'rejected']);
    await expect(flights.run('a', async () => 1)).resolves.toBe(1);
  });
});

describe('timing', () => {
  it('rejects when the bound is over, and passes a result on', async () => {
    await expect(within(1, new Deferred().promise, () => new Error('late'))).rejects.toThrow('late');
    await expect(within(60_000, Promise.resolve(3), () => new Error('late'))).resolves.toBe(3);
  });

  it('stops at the signal', async () => {
    const abort = new AbortController();
    const waits = [sleep(60_000, abort.signal), unless(abort.signal, new Deferred().promise)];
    abort.abort(new Error('gone'));
    for (const wait of waits) await expect(wait).rejects.toThrow('gone');
    await expect(sleep(60_000, abort.signal)).rejects.toThrow('gone');
    await expect(unless(abort.signal, Promise.resolve())).rejects.toThrow('gone');
  });

  it('backs off between half of and the whole doubled time, never over the most', () => {
    fc.assert(
      fc.property(fc.nat(100), fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), (attempt, r) => {
        const full = Math.min(30_000, 100 * 2 ** attempt);
        const wait = backoff(attempt, 100, 30_000, () => r);
        return wait <= full && wait >= full / 2;
      }),
    );
  });
});
