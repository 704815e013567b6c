import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer, connect as dial, type Server, type Socket } from 'node:net';
import { Deferred } from '#async';
import { type NatsService, startNats } from '../../../test/support/services/index.js';
import { done, eventually, Journal, later, pull } from '../harness.contract.js';
import { type JetStreamBus } from './bus.js';
import type { JetStreamOptions } from './options.js';
import { openings, sharedNats, slots } from './suite.contract.js';

/** A cable to a NATS server that can be cut, mended and plugged into another one. */
class Cable {
  private readonly ends = new Set<Socket>();
  private readonly server: Server;
  private whole = true;

  constructor(public port: number) {
    this.server = createServer((near) => {
      if (!this.whole) {
        near.destroy();
        return;
      }
      const far = dial(this.port, '127.0.0.1');
      for (const [end, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.ends.add(end);
        end.on('error', () => {});
        end.on('close', () => {
          this.ends.delete(end);
          other.destroy();
        });
        end.pipe(other);
      }
    });
  }

  async lay(): Promise<string> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return `nats://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  cut(): void {
    this.whole = false;
    for (const end of this.ends) end.destroy();
  }

  mend(): void {
    this.whole = true;
  }

  remove(): void {
    this.cut();
    this.server.close();
  }
}

const nats = sharedNats();
const { connect: open, work, onEnd } = openings();
let prefix: string;
beforeEach(() => {
  prefix = `t${randomBytes(6).toString('hex')}`;
});
const connect = (options: Partial<JetStreamOptions> = {}) => open({ servers: [nats().url], prefix, ...options });

async function cableTo(service: NatsService): Promise<{ cable: Cable; servers: string[] }> {
  const cable = new Cable(service.port);
  onEnd(() => cable.remove());
  return { cable, servers: [await cable.lay()] };
}

const empty = (bus: JetStreamBus) =>
  eventually(
    () => bus.depth().catch(() => undefined),
    (depth) => depth !== undefined && depth.interactive + depth.background === 0,
  );
const away = (bus: JetStreamBus) =>
  eventually(
    async () => bus.link.ready,
    (ready) => !ready,
  );
const requested = (bus: JetStreamBus, n: number) =>
  eventually(
    () => bus.requestPull(pull(n)).catch(() => 'refused' as const),
    (answer) => answer !== 'refused',
  );

it('a message whose worker was cut off goes to another after the lease, and the worker comes back', async () => {
  const { cable, servers } = await cableTo(nats());
  const [cutOff, other] = [await connect({ servers, lease: 1_000 }), await connect({ lease: 1_000 })];
  const [atFirst, atSecond, gate] = [new Journal<string>(), new Journal<string>(), new Deferred()];
  const first = await work(cutOff, async ({ key }) => {
    atFirst.add(key);
    await gate.promise;
    return done;
  });
  await other.requestPull(pull(1));
  await atFirst.reached(1);
  cable.cut();
  const second = await work(other, ({ key }) => {
    atSecond.add(key);
    return done;
  });
  await atSecond.reached(1);
  await empty(other);
  await second.close();
  // Its late acknowledgement changes nothing, and it takes work again.
  gate.resolve();
  cable.mend();
  await other.requestPull(pull(2));
  await atFirst.reached(2);
  expect(atFirst.entries).toEqual([pull(1).key, pull(2).key]);
  expect(atSecond.entries).toEqual([pull(1).key]);
  await first.close();
}, 60_000);

it('work that ends while NATS is away is acknowledged when it is back', async () => {
  const { cable, servers } = await cableTo(nats());
  const bus = await connect({ servers, lease: 600_000 });
  const [seen, gate] = [new Journal<string>(), new Deferred()];
  await work(bus, async ({ key }) => {
    seen.add(key);
    await gate.promise;
    return done;
  });
  await bus.requestPull(pull(1));
  await seen.reached(1);
  cable.cut();
  await away(bus);
  gate.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  cable.mend();
  await empty(bus);
  expect(seen.entries).toHaveLength(1);
}, 30_000);

it('after a break a worker asks for no more messages than it has slots', async () => {
  const { cable, servers } = await cableTo(nats());
  const bus = await connect({ servers });
  const [seen, gate] = [new Journal<string>(), new Deferred()];
  await work(bus, async ({ key }) => {
    seen.add(key);
    await gate.promise;
    return done;
  });
  await bus.requestPull(pull(1));
  await seen.reached(1);
  cable.cut();
  await away(bus);
  cable.mend();
  for (let n = 2; n < 12; n++) await requested(bus, n);
  await seen.reached(slots.interactive);
  const { delivered } = await bus.link.manager.consumers.info(bus.link.names.stream, 'interactive');
  expect(delivered.consumer_seq).toBe(slots.interactive);
  gate.resolve();
  await empty(bus);
}, 30_000);

describe.each<[string, (service: NatsService) => Promise<void>]>([
  ['restarted', (service) => service.restart()],
  ['killed and started', (service) => service.kill().then(() => service.restart())],
])('NATS is %s in the middle of work', (_, restart) => {
  it('and everything goes on by itself', async () => {
    const [gateway, puller] = [await connect({ lease: 5_000 }), await connect({ lease: 5_000 })];
    const [seen, heard, gate] = [new Journal<string>(), new Journal<string>(), new Deferred()];
    gateway.onSignal('pull.finished', ({ key }) => heard.add(key));
    await work(puller, async (event) => {
      seen.add(event.key);
      await gate.promise;
      puller.signal('pull.finished', { v: 1, key: event.key });
      return done;
    });
    for (let n = 0; n < 20; n++) await gateway.requestPull(pull(n));
    await seen.reached(slots.interactive);
    await restart(nats());
    await requested(gateway, 20);
    await eventually(
      () => puller.ping().catch((error) => error),
      (answer) => answer === undefined,
    );
    gate.resolve();
    await heard.reached(21);
    await empty(gateway);
    expect(new Set(heard.entries).size).toBe(21);
  }, 60_000);
});

it('while NATS is away pulls are refused in bounded time and signals are dropped, and afterwards all works', async () => {
  const { cable, servers } = await cableTo(nats());
  const bus = await connect({ servers });
  const heard = new Journal<string>();
  bus.onSignal('pull.finished', ({ key }) => heard.add(key));
  cable.cut();
  const refused = { reason: 'UNAVAILABLE', origin: 'bus', retryable: true, retryAfter: expect.any(Number) };
  await expect(bus.requestPull(pull(1))).rejects.toMatchObject(refused);
  await expect(bus.ping()).rejects.toMatchObject(refused);
  await expect(bus.depth()).rejects.toMatchObject(refused);
  bus.signal('pull.finished', { v: 1, key: 'lost' });
  cable.mend();
  await requested(bus, 1);
  bus.signal('pull.finished', { v: 1, key: 'heard' });
  await heard.reached(1);
  expect(heard.entries).toEqual(['heard']);
}, 30_000);

it('a pull asked for in a short break is queued when NATS is back', async () => {
  const { cable, servers } = await cableTo(nats());
  const bus = await connect({ servers });
  cable.cut();
  await away(bus);
  const answer = bus.requestPull(pull(1));
  cable.mend();
  await expect(answer).resolves.toMatch(/queued|coalesced/);
}, 30_000);

it('NATS that came back with an empty disk gets its stream again, and work goes on', async () => {
  const blank = await startNats();
  onEnd(() => blank.stop());
  const { cable, servers } = await cableTo(nats());
  const bus = await connect({ servers });
  const seen = new Journal<string>();
  await work(bus, ({ key }) => {
    seen.add(key);
    return seen.entries.length === 1 ? later(600_000) : done;
  });
  await bus.requestPull(pull(1));
  await seen.reached(1);
  cable.port = blank.port;
  cable.cut();
  cable.mend();
  // The queue is new, so the waiter's repeated request is accepted.
  await eventually(
    () => bus.requestPull(pull(1)).catch(() => 'refused'),
    (answer) => answer === 'queued',
  );
  await seen.reached(2);
  await empty(bus);
}, 60_000);

describe('under a living connection', () => {
  it.each<[string, (bus: JetStreamBus) => Promise<unknown>]>([
    ['the stream', ({ link }) => link.manager.streams.delete(link.names.stream)],
    ['a consumer', ({ link }) => link.manager.consumers.delete(link.names.stream, 'interactive')],
  ])(
    '%s may vanish, and work goes on',
    async (_, remove) => {
      const bus = await connect();
      const seen = new Journal<string>();
      await work(bus, ({ key }) => {
        seen.add(key);
        return done;
      });
      await bus.requestPull(pull(1));
      await seen.reached(1);
      await empty(bus);
      await remove(bus);
      await expect(bus.requestPull(pull(2))).resolves.toBe('queued');
      await seen.reached(2);
      expect(seen.entries).toEqual([pull(1).key, pull(2).key]);
    },
    30_000,
  );
});
