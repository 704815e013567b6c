import {
  type CallHandler,
  type ExecutionContext,
  type INestMicroservice,
  Module,
  type NestInterceptor,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { map } from 'rxjs';
import { Deferred } from '#async';
import type { Lane, PullRequested } from './events.js';
import { createWorker, done, eventually, type Handle, Journal, later, pull } from './harness.contract.js';
import type { Bus, Verdict } from './port.js';
import { PULL_REQUESTED, type PullServer } from './pull-server.js';
import { signalContract } from './signals.contract.js';
import { slotContract } from './slots.contract.js';
import type { SlotLimits } from './slots.js';

/** One installation of a transport, empty at first and apart from all others. */
export interface Installation<B extends Bus = Bus> {
  /** The bus of one more process; on a transport with one process always the same. */
  connect(): Promise<B>;
  strategy(bus: B, slots: SlotLimits): PullServer;
  /** Queues something that this version would not publish itself. */
  put(bus: B, lane: Lane, key: string, message: object): Promise<void>;
  end(): Promise<void>;
}

const slots: SlotLimits = { interactive: 4, background: 2 };

export function busContract<B extends Bus>(install: () => Promise<Installation<B>>): void {
  let installation: Installation<B>;
  let bus: B;
  const workers: INestMicroservice[] = [];
  beforeEach(async () => {
    installation = await install();
    bus = await installation.connect();
  });
  afterEach(async () => {
    await Promise.all(workers.splice(0).map((worker) => worker.close()));
    await installation.end();
  });
  async function work(handle: Handle, limits = slots, interceptor?: NestInterceptor): Promise<INestMicroservice> {
    const worker = await createWorker(installation.strategy(bus, limits), handle);
    if (interceptor) worker.useGlobalInterceptors(interceptor);
    workers.push(worker);
    await worker.listen();
    return worker;
  }
  const empty = () =>
    eventually(
      () => bus.depth(),
      (depth) => depth.interactive + depth.background === 0,
    );

  describe('a pull', () => {
    it('is queued once per key and lane until it is done, and accepted again then', async () => {
      await expect(bus.requestPull(pull(1))).resolves.toBe('queued');
      await expect(bus.requestPull(pull(1))).resolves.toBe('coalesced');
      await expect(bus.requestPull(pull(2))).resolves.toBe('queued');
      await expect(bus.requestPull(pull(1, 'background'))).resolves.toBe('queued');
      const [seen, gate] = [new Journal<PullRequested>(), new Deferred()];
      await work(async (event) => {
        seen.add(event);
        await gate.promise;
        return done;
      });
      await seen.reached(3);
      await expect(bus.requestPull(pull(1))).resolves.toBe('coalesced');
      gate.resolve();
      await empty();
      await expect(bus.requestPull(pull(1))).resolves.toBe('queued');
      await seen.reached(4);
    });

    it('reaches the handler as the typed event, without fields of newer minors', async () => {
      const seen = new Journal<[PullRequested, Lane]>();
      await work((event, delivery) => {
        delivery.working();
        seen.add([event, delivery.lane]);
        return done;
      });
      const event: PullRequested = { ...pull(1, 'background'), cause: 'watch', requestId: 'r-1', maxAge: 60_000 };
      await installation.put(bus, 'background', event.key, { ...event, invented: true });
      await seen.reached(1);
      expect(seen.entries).toEqual([[event, 'background']]);
    });

    it('that is for later comes again, and its key stays taken meanwhile', async () => {
      const seen = new Journal<string>();
      await work(async (event) => {
        seen.add(await bus.requestPull(event));
        return seen.entries.length < 3 ? later(30) : done;
      });
      await bus.requestPull(pull(1));
      await seen.reached(3);
      expect(seen.entries).toEqual(['coalesced', 'coalesced', 'coalesced']);
      await empty();
      expect(seen.entries).toHaveLength(3);
    });

    it.each<[string, Handle]>([
      ['threw', () => Promise.reject(new Error('on purpose'))],
      ['answered no verdict', () => undefined as unknown as Verdict],
    ])('whose handler %s comes again, and others are not held up by it', async (_, fail) => {
      const seen = new Journal<string>();
      await work((event, delivery) => {
        seen.add(event.key);
        return seen.entries.length === 1 ? fail(event, delivery) : done;
      });
      await bus.requestPull(pull(1));
      await seen.reached(1);
      await bus.requestPull(pull(2));
      await seen.reached(3);
      await empty();
      expect(seen.entries.sort()).toEqual([pull(1).key, pull(1).key, pull(2).key].sort());
    });

    it('passes through Nest interceptors in both directions', async () => {
      const seen = new Journal<Verdict>();
      const interceptor: NestInterceptor = {
        intercept: (_: ExecutionContext, next: CallHandler) =>
          next.handle().pipe(
            map((verdict: Verdict) => {
              seen.add(verdict);
              return seen.entries.length === 1 ? later(1) : verdict;
            }),
          ),
      };
      await work(() => done, slots, interceptor);
      await bus.requestPull(pull(1));
      await seen.reached(2);
      expect(seen.entries).toEqual([done, done]);
      await empty();
    });
  });

  it('tells how long the oldest message of each lane has been there, also while it runs', async () => {
    expect(await bus.oldest()).toEqual({ interactive: 0, background: 0 });
    await bus.requestPull(pull(1));
    await bus.requestPull(pull(2));
    const queued = await eventually(
      () => bus.oldest(),
      ({ interactive }) => interactive > 5,
    );
    expect(queued.background).toBe(0);
    const [seen, gate] = [new Journal<string>(), new Deferred()];
    await work(async ({ key }) => {
      seen.add(key);
      await gate.promise;
      return done;
    });
    await seen.reached(2);
    expect((await bus.oldest()).interactive).toBeGreaterThanOrEqual(queued.interactive);
    gate.resolve();
    await empty();
    await eventually(
      () => bus.oldest(),
      ({ interactive }) => interactive === 0,
    );
  });

  describe('an operator', () => {
    it('sees what waits, interactive pulls first and no more than asked for', async () => {
      await bus.requestPull(pull(1, 'background'));
      await bus.requestPull(pull(2));
      await installation.put(bus, 'interactive', pull(3).key, { v: 1, target: { kind: 'unheard of' } });
      await bus.requestPull(pull(4));
      await expect(bus.queued(10)).resolves.toEqual([pull(2), pull(4), pull(1, 'background')]);
      await expect(bus.queued(1)).resolves.toEqual([pull(2)]);
    });

    it('withdraws a pull from every lane, and it may be asked for again', async () => {
      for (const lane of ['interactive', 'background'] as const) await bus.requestPull(pull(1, lane));
      await bus.requestPull(pull(2));
      await expect(bus.withdraw(pull(1).key)).resolves.toEqual(pull(1));
      await expect(bus.withdraw(pull(1).key)).resolves.toBeUndefined();
      const seen = new Journal<string>();
      await work(({ key }) => {
        seen.add(key);
        return done;
      });
      await empty();
      expect(seen.entries).toEqual([pull(2).key]);
      await expect(bus.requestPull(pull(1))).resolves.toBe('queued');
      await seen.reached(2);
    });

    it('withdraws one that runs without a word to its handler', async () => {
      const [seen, gate] = [new Journal<string>(), new Deferred()];
      await work(async ({ key }) => {
        seen.add(key);
        if (seen.entries.length === 1) await gate.promise;
        return seen.entries.length === 1 ? later(1) : done;
      });
      await bus.requestPull(pull(1));
      await seen.reached(1);
      await expect(bus.withdraw(pull(1).key)).resolves.toEqual(pull(1));
      await expect(bus.requestPull(pull(1))).resolves.toBe('queued');
      await seen.reached(2);
      gate.resolve();
      await empty();
    });
  });

  describe('a foreign message', () => {
    it('of a newer major stays in the queue and holds up nothing', async () => {
      const seen = new Journal<string>();
      await work((event) => {
        seen.add(event.key);
        return done;
      });
      await installation.put(bus, 'interactive', pull(1).key, { ...pull(1), v: 2, target: 'in a way of its own' });
      await bus.requestPull(pull(2));
      await seen.reached(1);
      await eventually(
        () => bus.depth(),
        (depth) => depth.interactive === 1,
      );
      expect(seen.entries).toEqual([pull(2).key]);
      await expect(bus.requestPull(pull(1))).resolves.toBe('coalesced');
    });

    it('that is no event is dropped', async () => {
      const seen = new Journal<string>();
      await work((event) => {
        seen.add(event.key);
        return done;
      });
      await installation.put(bus, 'interactive', pull(1).key, { v: 1, target: { kind: 'unheard of' } });
      await bus.requestPull(pull(2));
      await seen.reached(1);
      await empty();
      expect(seen.entries).toEqual([pull(2).key]);
      await expect(bus.requestPull(pull(1))).resolves.toBe('queued');
      await seen.reached(2);
    });
  });

  describe('slots', () => slotContract(() => ({ bus, work, empty })));

  describe('closing a worker', () => {
    it('waits for what runs, takes nothing more and leaves the rest in the queue', async () => {
      const [seen, gate] = [new Journal<string>(), new Deferred()];
      const worker = await work(
        async (event) => {
          seen.add(event.key);
          await gate.promise;
          return done;
        },
        { interactive: 1, background: 1 },
      );
      await bus.requestPull(pull(1));
      await seen.reached(1);
      const order: string[] = [];
      const closed = worker.close().then(() => order.push('closed'));
      for (let n = 2; n < 6; n++) await bus.requestPull(pull(n));
      order.push('released');
      gate.resolve();
      await closed;
      expect(order).toEqual(['released', 'closed']);
      expect(seen.entries).toEqual([pull(1).key]);
      await eventually(
        () => bus.depth(),
        (depth) => depth.interactive === 4,
      );
      // The next worker starts with the rest at once.
      await work((event) => {
        seen.add(event.key);
        return done;
      });
      await seen.reached(5);
    });

    it('a worker without a handler does not start', async () => {
      @Module({})
      class EmptyModule {}
      const options = { strategy: installation.strategy(bus, slots), logger: false } as const;
      const worker = await NestFactory.createMicroservice(EmptyModule, options);
      workers.push(worker);
      await expect(worker.listen()).rejects.toThrow(PULL_REQUESTED);
    });
  });

  describe('signals', () => signalContract(() => ({ bus, connect: () => installation.connect() })));

  it('tells that it can be used', async () => {
    await expect(bus.ping()).resolves.toBeUndefined();
    await expect(bus.depth()).resolves.toEqual({ interactive: 0, background: 0 });
  });
}
