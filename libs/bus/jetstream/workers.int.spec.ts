import { randomBytes } from 'node:crypto';
import { Deferred, sleep } from '#async';
import { done, eventually, type Handle, Journal, pull } from '../harness.contract.js';
import { type JetStreamBus } from './bus.js';
import type { JetStreamOptions } from './options.js';
import { openings, sharedNats } from './suite.contract.js';

const nats = sharedNats();
const { connect: open, work } = openings();
let prefix: string;
beforeEach(() => {
  prefix = `t${randomBytes(6).toString('hex')}`;
});
const connect = (options: Partial<JetStreamOptions> = {}) => open({ servers: [nats().url], prefix, ...options });

const empty = (bus: JetStreamBus) =>
  eventually(
    () => bus.depth(),
    (depth) => depth.interactive + depth.background === 0,
  );

it('workers share the work, and each message is handled once', async () => {
  const [one, other] = [await connect(), await connect()];
  const seen = new Journal<string>();
  const started = { one: new Deferred(), other: new Deferred() };
  const handle =
    (name: 'one' | 'other'): Handle =>
    async ({ key }) => {
      started[name].resolve();
      await Promise.all([started.one.promise, started.other.promise]);
      seen.add(key);
      return done;
    };
  await Promise.all([work(one, handle('one')), work(other, handle('other'))]);
  await Promise.all(Array.from({ length: 200 }, (_, n) => one.requestPull(pull(n))));
  await seen.reached(200);
  await empty(one);
  expect(new Set(seen.entries).size).toBe(200);
  expect(seen.entries).toHaveLength(200);
});

it('heartbeats keep a message for longer than the lease', async () => {
  const bus = await connect({ lease: 1_500 });
  const seen = new Journal<string>();
  await work(bus, async ({ key }, delivery) => {
    seen.add(key);
    for (let n = 0; n < 40; n++) {
      delivery.working();
      await sleep(100);
    }
    return done;
  });
  await bus.requestPull(pull(1));
  await seen.reached(1);
  await empty(bus);
  expect(seen.entries).toHaveLength(1);
}, 30_000);

it('a worker closed while messages are on their way gives them back at once', async () => {
  const bus = await connect({ lease: 600_000 });
  for (let round = 0; round < 10; round++) {
    const handled = new Journal<string>();
    const worker = await work(bus, ({ key }) => {
      handled.add(key);
      return done;
    });
    const sent = Array.from({ length: 20 }, (_, n) => bus.requestPull(pull(round * 100 + n)));
    await Promise.all([worker.close(), ...sent]);
    const next = await work(bus, ({ key }) => {
      handled.add(key);
      return done;
    });
    await handled.reached(20);
    await next.close();
    expect(new Set(handled.entries).size).toBe(20);
  }
}, 30_000);

it('a bus closed before its worker leaves the message to another, and nothing breaks', async () => {
  const [closed, other] = [await connect({ lease: 1_000 }), await connect({ lease: 1_000 })];
  const [seen, gate] = [new Journal<string>(), new Deferred()];
  const worker = await work(closed, async () => {
    seen.add('closed');
    await gate.promise;
    return done;
  });
  await other.requestPull(pull(1));
  await seen.reached(1);
  await closed.close();
  gate.resolve();
  await worker.close();
  await work(other, () => {
    seen.add('other');
    return done;
  });
  await seen.reached(2);
  expect(seen.entries).toEqual(['closed', 'other']);
}, 30_000);
