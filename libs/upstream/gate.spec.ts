import { Failure } from '#oci';
import { Gate, type Turn } from './gate.js';
import { DEFAULT_BREAKER } from './options.js';
import type { Pause } from './port.js';

const GET = { method: 'GET', content: 'manifests', priority: 'interactive' } as const satisfies Turn;
const HEAD = { ...GET, method: 'HEAD' } as const;
const limited = (retryAfter?: number) => async (): Promise<string> => {
  throw new Failure('RATE_LIMITED', undefined, { origin: 'upstream', retryable: true, retryAfter });
};
const fine = async () => 'fine';

describe('Gate', () => {
  let paused: Pause[];
  const gate = (host = 'quay.io', hold = 2000) =>
    new Gate(host, { hold, breaker: DEFAULT_BREAKER, onPaused: (pause) => paused.push(pause), onFailing: () => {} });
  beforeEach(() => {
    paused = [];
    jest.useFakeTimers({ now: 1_000_000 });
  });
  afterEach(() => jest.useRealTimers());

  it('B17: after a 429 nothing is asked until Retry-After is over', async () => {
    const quay = gate();
    await expect(quay.run(GET, limited(60))).rejects.toMatchObject({ reason: 'RATE_LIMITED', retryAfter: 60 });
    expect(paused).toEqual([{ cause: 'rate-limited', until: 1_060_000, countedOnly: false }]);
    const work = jest.fn(fine);
    jest.advanceTimersByTime(30_000);
    await expect(quay.run(HEAD, work)).rejects.toMatchObject({ reason: 'RATE_LIMITED', retryAfter: 30 });
    expect(work).not.toHaveBeenCalled();
    jest.advanceTimersByTime(30_000);
    expect(await quay.run(HEAD, work)).toBe('fine');
  });

  it('guesses without Retry-After, longer each time, and forgets that with the first success', async () => {
    const quay = gate();
    const waits: unknown[] = [];
    for (let i = 0; i < 7; i++) {
      const { retryAfter } = (await quay.run(GET, limited()).catch((error) => error)) as Failure;
      waits.push(retryAfter);
      jest.advanceTimersByTime(Number(retryAfter) * 1000);
    }
    expect(waits).toEqual([10, 20, 40, 80, 160, 300, 300]);
    await quay.run(GET, fine);
    await expect(quay.run(GET, limited())).rejects.toMatchObject({ retryAfter: 10 });
  });

  it('holds an interactive request over a short pause, and asks once more', async () => {
    const quay = gate();
    const work = jest.fn(fine).mockImplementationOnce(limited(1));
    const held = quay.run(GET, work);
    await jest.advanceTimersByTimeAsync(999);
    expect(work).toHaveBeenCalledTimes(1);
    await jest.advanceTimersByTimeAsync(1);
    expect(await held).toBe('fine');
    expect(work).toHaveBeenCalledTimes(2);
  });

  it('never holds background work', async () => {
    const quay = gate();
    await expect(quay.run({ ...GET, priority: 'background' }, limited(1))).rejects.toMatchObject({ retryAfter: 1 });
  });

  it('Docker Hub: a used-up window stops GETs of manifests, while HEAD and blobs go on; a 429 to those stops everything', async () => {
    const hub = gate('docker.io');
    hub.observe({ limit: 100, remaining: 0, window: 21_600, at: Date.now() });
    expect(paused).toEqual([{ cause: 'exhausted', until: 1_060_000, countedOnly: true }]);
    await expect(hub.run(GET, fine)).rejects.toMatchObject({ reason: 'RATE_LIMITED', retryAfter: 60 });
    expect(await hub.run(HEAD, fine)).toBe('fine');
    expect(await hub.run({ ...GET, content: 'blobs' }, fine)).toBe('fine');
    await expect(hub.run(HEAD, limited(5))).rejects.toMatchObject({ retryAfter: 5 });
    await expect(hub.run({ ...GET, content: 'blobs' }, fine)).rejects.toMatchObject({ retryAfter: 5 });
  });

  it('leaves the last tenth of a window to those who wait', async () => {
    const quay = gate();
    quay.observe({ limit: 100, remaining: 10, window: 3600, at: Date.now() });
    await expect(quay.run({ ...GET, priority: 'background' }, fine)).rejects.toMatchObject({ reason: 'RATE_LIMITED' });
    expect(await quay.run(GET, fine)).toBe('fine');
    quay.observe({ limit: 100, remaining: 11, window: 3600, at: Date.now() });
    expect(await quay.run({ ...GET, priority: 'background' }, fine)).toBe('fine');
  });

  it('believes a count for ten minutes only', async () => {
    const quay = gate();
    quay.observe({ limit: 100, remaining: 1, window: 21_600, at: Date.now() });
    jest.advanceTimersByTime(600_000);
    expect(await quay.run({ ...GET, priority: 'background' }, fine)).toBe('fine');
  });

  it('an operator may pause and resume it; that is told to nobody, and is no rate limit', async () => {
    const quay = gate();
    quay.pause = { cause: 'manual', until: Date.now() + 60_000, countedOnly: false };
    await expect(quay.run(HEAD, fine)).rejects.toMatchObject({
      reason: 'UPSTREAM_PAUSED',
      status: 503,
      retryAfter: 60,
    });
    quay.pause = undefined;
    expect(await quay.run(HEAD, fine)).toBe('fine');
    expect(paused).toEqual([]);
  });

  it('keeps the longer of two pauses', async () => {
    const quay = gate();
    await expect(quay.run(GET, limited(60))).rejects.toThrow();
    quay.observe({ limit: 1, remaining: 0, reset: 5, at: Date.now() });
    expect(quay.pause).toMatchObject({ cause: 'rate-limited', until: 1_060_000 });
  });
});
