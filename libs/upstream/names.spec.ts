import type { LookupAddress, LookupOptions } from 'node:dns';
import { Names } from './names.js';

describe('Names', () => {
  const V4 = { address: '192.0.2.1', family: 4 };
  const V6 = { address: '2001:db8::1', family: 6 };
  let asked: { hostname: string; options: LookupOptions }[];
  let answer: LookupAddress[] | Error | 'never';
  let names: Names;
  const resolve = (hostname: string, options: LookupOptions = { all: true }) =>
    new Promise<unknown>((done, fail) =>
      names.lookup(hostname, options as never, (error, found, family) =>
        error ? fail(error) : done(options.all ? found : { address: found, family }),
      ),
    );

  beforeEach(() => {
    jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask', 'performance'] });
    asked = [];
    answer = [V6, V4];
    names = new Names((hostname, options, callback) => {
      asked.push({ hostname, options });
      setImmediate(() => {
        if (answer === 'never') return;
        if (answer instanceof Error) callback(answer, '');
        else callback(null, answer);
      });
    });
  });
  afterEach(() => jest.useRealTimers());

  it('asks once for all who connect at the same time, and not again for half a minute', async () => {
    expect(await Promise.all([resolve('a'), resolve('a'), resolve('a')])).toEqual(Array(3).fill([V6, V4]));
    jest.advanceTimersByTime(29_000);
    await resolve('a');
    expect(asked).toHaveLength(1);
    answer = [V4];
    jest.advanceTimersByTime(2_000);
    expect(await resolve('a')).toEqual([V4]);
    expect(asked).toHaveLength(2);
  });

  it('gives one address to who wants one, and keeps families apart', async () => {
    expect(await resolve('a', {})).toEqual(V6);
    answer = [V4];
    expect(await resolve('a', { family: 4 })).toEqual(V4);
    expect(asked.map(({ options }) => [options.family, options.all])).toEqual([
      [undefined, true],
      [4, true],
    ]);
  });

  it('uses what was good lately while DNS is away, but not for ever, and remembers no failure', async () => {
    answer = Object.assign(new Error('none'), { code: 'ENOTFOUND' });
    await expect(resolve('a')).rejects.toMatchObject({ code: 'ENOTFOUND' });
    answer = [V4];
    expect(await resolve('a')).toEqual([V4]);
    answer = new Error('away');
    jest.advanceTimersByTime(500_000);
    expect(await resolve('a')).toEqual([V4]);
    jest.advanceTimersByTime(200_000);
    await expect(resolve('a')).rejects.toThrow('away');
    answer = [V6];
    expect(await resolve('a')).toEqual([V6]);
    answer = 'never';
    jest.advanceTimersByTime(60_000);
    const hanging = resolve('a');
    await jest.advanceTimersByTimeAsync(1_000);
    expect(await hanging).toEqual([V6]);
    answer = [];
    await expect(resolve('b')).rejects.toMatchObject({ code: 'ENOTFOUND' });
  });

  it('asks again where no connection came about, and still has the old address when DNS has none', async () => {
    await resolve('a');
    names.doubt('a');
    answer = [V4];
    expect(await resolve('a')).toEqual([V4]);
    names.doubt('a');
    answer = new Error('away');
    expect(await resolve('a')).toEqual([V4]);
    expect(asked).toHaveLength(3);
  });

  it('remembers a bounded number of names', async () => {
    for (let i = 0; i <= 1_000; i++) await resolve(`host-${i}`);
    await resolve('host-1000');
    expect(asked).toHaveLength(1_001);
    await resolve('host-0');
    expect(asked).toHaveLength(1_002);
  });
});
