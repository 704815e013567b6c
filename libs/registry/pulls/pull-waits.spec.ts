import { EVENT_MAJOR, type PullRequested, pullKey } from '#bus';
import { InProcessBus } from '#bus/adapters';
import type { PullLedger } from '#catalog';
import { Failure } from '#oci';
import type { Log, Relays } from '../ports.js';
import { type PullRequest, PullWaits } from './pull-waits.js';

const target = { kind: 'manifest', repository: { upstream: 'a.example', path: 'b' }, reference: 'v1' } as const;
const request: PullRequest = { target, lane: 'interactive', cause: 'client' };
const key = pullKey(target);
const log: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const relays: Relays = { attach: () => Promise.reject(new Failure('UNAVAILABLE')) };
const noRows = { find: async () => undefined } as unknown as PullLedger;

/** The real bus, with what was asked of it counted. */
class CountingBus extends InProcessBus {
  asked = 0;
  answers: string[] = [];
  override async requestPull(event: PullRequested): Promise<'queued' | 'coalesced'> {
    this.asked++;
    const answer = await super.requestPull(event);
    this.answers.push(answer);
    return answer;
  }
}

describe('PullWaits', () => {
  const end = (bus: CountingBus, reason?: 'UPSTREAM_CONTENT' | 'MANIFEST_UNKNOWN') =>
    bus.signal('pull.finished', {
      v: EVENT_MAJOR,
      key,
      ...(reason ? { failure: new Failure(reason).toRecord() } : {}),
    });
  const make = (poll = 60_000) => {
    const bus = new CountingBus();
    return { bus, waits: new PullWaits(bus, noRows, relays, log, { timeout: 30_000, poll, busPatience: 30_000 }) };
  };

  it('gives every caller of a key the end of one job, good or bad', async () => {
    const { bus, waits } = make();
    const callers = [waits.wait(request), waits.wait(request)];
    await new Promise(setImmediate);
    end(bus);
    expect(await Promise.all(callers)).toEqual([
      { state: 'finished', shared: false },
      { state: 'finished', shared: true },
    ]);
    expect(bus.asked).toBe(1);
    expect(waits.size).toBe(0);
  });

  it('tells the failure of a job that it queued', async () => {
    const { bus, waits } = make();
    const wait = waits.wait(request);
    await new Promise(setImmediate);
    end(bus, 'UPSTREAM_CONTENT');
    await expect(wait).rejects.toMatchObject({ reason: 'UPSTREAM_CONTENT' });
    expect(bus.asked).toBe(1);
  });

  it('tells the failure of a job that it queued, although the bus says so after the end of the job', async () => {
    const { bus, waits } = make();
    const requestPull = bus.requestPull.bind(bus);
    let answer = () => {};
    bus.requestPull = async (event) => {
      const queued = await requestPull(event);
      await new Promise<void>((resolve) => {
        answer = resolve;
      });
      return queued;
    };
    const wait = waits.wait(request);
    await new Promise(setImmediate);
    end(bus, 'UPSTREAM_CONTENT');
    await new Promise(setImmediate);
    answer();
    await expect(wait).rejects.toMatchObject({ reason: 'UPSTREAM_CONTENT' });
    expect(bus.asked).toBe(1);
  });

  it('asks again, once, when the job that failed was there before it', async () => {
    const { bus, waits } = make();
    await bus.requestPull({ v: EVENT_MAJOR, key, ...request });
    const wait = waits.wait(request);
    await new Promise(setImmediate);
    expect(bus.answers).toEqual(['queued', 'coalesced']);
    end(bus, 'UPSTREAM_CONTENT');
    while (bus.asked < 3) await new Promise((resolve) => setTimeout(resolve, 5));
    end(bus, 'UPSTREAM_CONTENT');
    await expect(wait).rejects.toMatchObject({ reason: 'UPSTREAM_CONTENT' });
    expect(bus.asked).toBe(3);
  });

  it("takes an upstream's no from any job", async () => {
    const { bus, waits } = make();
    await bus.requestPull({ v: EVENT_MAJOR, key, ...request });
    const wait = waits.wait(request);
    await new Promise(setImmediate);
    end(bus, 'MANIFEST_UNKNOWN');
    await expect(wait).rejects.toMatchObject({ reason: 'MANIFEST_UNKNOWN' });
  });

  it('publishes again when the row shows that the job was lost', async () => {
    const { bus, waits } = make(10);
    const wait = waits.wait(request);
    while (bus.asked < 3) await new Promise((resolve) => setTimeout(resolve, 5));
    end(bus);
    expect(await wait).toMatchObject({ state: 'finished' });
  });

  describe('while the bus is away', () => {
    const away = new Failure('UNAVAILABLE', 'the work queue cannot be reached', { origin: 'bus', retryAfter: 5 });
    beforeEach(() => jest.useFakeTimers({ doNotFake: ['queueMicrotask', 'nextTick'] }));
    afterEach(() => jest.useRealTimers());
    const makeAway = () => {
      const bus = new CountingBus();
      const requestPull = bus.requestPull.bind(bus);
      bus.requestPull = () => Promise.reject(away);
      const back = () => {
        bus.requestPull = requestPull;
      };
      return {
        bus,
        back,
        waits: new PullWaits(bus, noRows, relays, log, { timeout: 60_000, poll: 2_000, busPatience: 7_000 }),
      };
    };

    it('keeps trying, and nobody notices when it comes back in time', async () => {
      const { bus, back, waits } = makeAway();
      const wait = waits.wait(request);
      await jest.advanceTimersByTimeAsync(6_000);
      back();
      await jest.advanceTimersByTimeAsync(2_000);
      expect(bus.answers[0]).toBe('queued');
      end(bus);
      expect(await wait).toEqual({ state: 'finished', shared: false });
    });

    it('refuses who has no byte yet within seconds, and lets who has some wait on', async () => {
      const { bus, back, waits } = makeAway();
      const fresh = expect(waits.wait(request)).rejects.toMatchObject({ reason: 'UNAVAILABLE', retryAfter: 5 });
      const reading = waits.wait(request, { patient: true });
      await jest.advanceTimersByTimeAsync(9_000);
      await fresh;
      expect(waits.size).toBe(1);
      await jest.advanceTimersByTimeAsync(30_000);
      back();
      await jest.advanceTimersByTimeAsync(2_000);
      end(bus);
      expect(await reading).toMatchObject({ state: 'finished' });
    });

    it('bounds every wait', async () => {
      const { waits } = makeAway();
      const reading = expect(waits.wait(request, { patient: true })).rejects.toMatchObject({ reason: 'UNAVAILABLE' });
      await jest.advanceTimersByTimeAsync(61_000);
      await reading;
      expect(waits.size).toBe(0);
      expect(jest.getTimerCount()).toBeLessThanOrEqual(1);
    });
  });

  it('lets who has bytes wait for as long as a worker is seen at work, and not who has none', async () => {
    jest.useFakeTimers({ doNotFake: ['queueMicrotask', 'nextTick'] });
    try {
      let atWork = true;
      const row = {
        state: 'running',
        target,
        get leaseRemaining() {
          return atWork ? 1_000 : 0;
        },
        age: 0,
      };
      const ledger = { find: async () => row } as unknown as PullLedger;
      const waits = new PullWaits(new CountingBus(), ledger, relays, log, {
        timeout: 10_000,
        poll: 2_000,
        busPatience: 7_000,
      });
      const fresh = expect(waits.wait(request)).rejects.toMatchObject({ reason: 'UPSTREAM_TIMEOUT' });
      const reading = expect(waits.wait(request, { patient: true })).rejects.toMatchObject({
        reason: 'UPSTREAM_TIMEOUT',
      });
      await jest.advanceTimersByTimeAsync(11_000);
      await fresh;
      await jest.advanceTimersByTimeAsync(60_000);
      expect(waits.size).toBe(1);
      atWork = false;
      await jest.advanceTimersByTimeAsync(12_000);
      await reading;
      expect(waits.size).toBe(0);
    } finally {
      jest.useRealTimers();
    }
  });
});
