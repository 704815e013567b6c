import { Breaker } from './breaker.js';
import { upstreamFailure } from './failures.js';

describe('Breaker', () => {
  const paused: number[] = [];
  let breaker: Breaker;
  beforeEach(() => {
    jest.useFakeTimers({ now: 1_000_000 });
    paused.length = 0;
    breaker = new Breaker({ failures: 3, firstPause: 2000, longestPause: 5000 }, (until) => paused.push(until));
  });
  afterEach(() => jest.useRealTimers());

  const call = (result: unknown = 'ok') =>
    breaker.run(async () => {
      if (result instanceof Error) throw result;
      return result;
    });
  const down = upstreamFailure('UPSTREAM_ERROR');
  const late = upstreamFailure('UPSTREAM_TIMEOUT');
  const fail = (error: unknown) => expect(call(error)).rejects.toBe(error);
  const refused = (retryAfter: number) =>
    expect(call()).rejects.toMatchObject({ reason: 'UPSTREAM_PAUSED', status: 503, origin: 'upstream', retryAfter });

  it('opens after failures in a row only', async () => {
    await fail(down);
    await fail(late);
    await call();
    await fail(down);
    await fail(down);
    expect(paused).toEqual([]);
    await fail(late);
    expect(paused).toEqual([1_002_000]);
    await refused(2);
  });

  it.each(['MANIFEST_UNKNOWN', 'DENIED', 'RATE_LIMITED', 'UPSTREAM_CONTENT'] as const)(
    'does not count %s',
    async (reason) => {
      await fail(down);
      await fail(down);
      await fail(upstreamFailure(reason));
      await fail(down);
      await fail(down);
      expect(paused).toEqual([]);
    },
  );

  it('does not count what says nothing about the upstream', async () => {
    for (let i = 0; i < 5; i++) await fail(new Error('the caller went away'));
    expect(paused).toEqual([]);
  });

  it('lets one probe through, doubles the pause when it fails, up to the longest, and closes when it succeeds', async () => {
    for (let i = 0; i < 3; i++) await fail(down);
    jest.setSystemTime(1_002_000);
    let end!: (error: unknown) => void;
    const probe = breaker.run(() => new Promise((_, reject) => (end = reject)));
    await refused(1);
    end(down);
    await expect(probe).rejects.toBe(down);
    await refused(4);
    jest.setSystemTime(1_006_000);
    await fail(down);
    await refused(5);
    jest.setSystemTime(1_011_000);
    await call();
    await fail(down);
    await call();
    expect(paused).toEqual([1_002_000, 1_006_000, 1_011_000]);
  });

  it('gives the next call the probe when the first one was given up', async () => {
    for (let i = 0; i < 3; i++) await fail(down);
    jest.setSystemTime(1_002_000);
    await fail(new Error('the caller went away'));
    await expect(call('probed')).resolves.toBe('probed');
  });

  it('is not moved by calls that began before the pause', async () => {
    let end!: (error: unknown) => void;
    const slow = breaker.run(() => new Promise((_, reject) => (end = reject)));
    for (let i = 0; i < 3; i++) await fail(down);
    end(down);
    await expect(slow).rejects.toBe(down);
    expect(paused).toEqual([1_002_000]);
  });
});
