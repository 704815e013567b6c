import { randomBytes } from 'node:crypto';
import { RetentionPolicy } from '@nats-io/jetstream';
import { millis } from '@nats-io/nats-core';
import { createWorker, done, eventually, Journal, pull } from '../harness.contract.js';
import type { JetStreamOptions } from './options.js';
import { JetStreamStrategy } from './strategy.js';
import { openings, sharedNats, slots } from './suite.contract.js';

const freshPrefix = () => `t${randomBytes(6).toString('hex')}`;
const unavailable = { reason: 'UNAVAILABLE', origin: 'bus', retryable: true };

const nats = sharedNats();
const { connect: open } = openings();
const connect = (options: Partial<JetStreamOptions> = {}) => open({ servers: [nats().url], ...options });

describe('prefixes', () => {
  it('keep installations apart', async () => {
    const [one, other] = [await connect({ prefix: freshPrefix() }), await connect({ prefix: freshPrefix() })];
    const [seen, heard] = [new Journal<string>(), new Journal<string>()];
    other.onSignal('pull.finished', ({ key }) => heard.add(key));
    const worker = await createWorker(new JetStreamStrategy(other, { slots }), ({ key }) => {
      seen.add(key);
      return done;
    });
    await worker.listen();
    await one.requestPull(pull(1));
    one.signal('pull.finished', { v: 1, key: 'one' });
    // A round trip on the first connection, so that what it sent has been through the server.
    await one.ping();
    await expect(other.requestPull(pull(1))).resolves.toBe('queued');
    other.signal('pull.finished', { v: 1, key: 'other' });
    await Promise.all([seen.reached(1), heard.reached(1)]);
    expect(heard.entries).toEqual(['other']);
    expect(await one.depth()).toEqual({ interactive: 1, background: 0 });
    await worker.close();
    expect(seen.entries).toHaveLength(1);
  });

  it.each(['a.b', 'a b', 'a*', '>', ''])('"%s" is refused', async (prefix) => {
    await expect(connect({ prefix })).rejects.toThrow('prefix');
  });
});

describe('the stream and its consumers', () => {
  it('are made by any role, all at once', async () => {
    const prefix = freshPrefix();
    const all = await Promise.all(Array.from({ length: 8 }, () => connect({ prefix })));
    const answers = await Promise.all(all.map((bus) => bus.requestPull(pull(1))));
    expect(answers.filter((answer) => answer === 'queued')).toHaveLength(1);
  });

  it('are made what the newest role wants, without losing what is queued', async () => {
    const prefix = freshPrefix();
    const { link, ...first } = await connect({ prefix, lease: 5_000 });
    expect(first).toBeDefined();
    await link.client.publish(link.names.pull('interactive', pull(1).key), JSON.stringify(pull(1)));
    await link.manager.streams.update(link.names.stream, { max_msgs: 10 });
    const second = await connect({ prefix, lease: 7_000 });
    const { config } = await link.manager.streams.info(link.names.stream);
    expect(config.max_msgs).toBeGreaterThan(10);
    const lanes = await Promise.all([
      link.manager.consumers.info(link.names.stream, 'interactive'),
      link.manager.consumers.info(link.names.stream, 'background'),
    ]);
    expect(lanes.map((lane) => millis(lane.config.ack_wait ?? 0))).toEqual([7_000, 7_000]);
    expect(await second.depth()).toEqual({ interactive: 1, background: 0 });
  });

  it('of another kind under the same name are refused', async () => {
    const { manager } = (await connect({ prefix: freshPrefix() })).link;
    const prefix = freshPrefix();
    await manager.streams.add({
      name: `${prefix}_PULLS`,
      subjects: [`${prefix}.>`],
      retention: RetentionPolicy.Limits,
    });
    await expect(connect({ prefix })).rejects.toThrow(/another retention/);
  });

  it('when full refuse with UNAVAILABLE, not as if the key were queued', async () => {
    const bus = await connect({ prefix: freshPrefix() });
    const { link } = bus;
    await link.manager.streams.update(link.names.stream, { max_msgs: 1 });
    await bus.requestPull(pull(1));
    await expect(bus.requestPull(pull(2))).rejects.toMatchObject({ ...unavailable, retryAfter: expect.any(Number) });
    await expect(bus.requestPull(pull(1))).resolves.toBe('coalesced');
  });
});

it('malformed and newer signals are dropped and counted', async () => {
  const prefix = freshPrefix();
  const [bus, peer] = [await connect({ prefix }), await connect({ prefix })];
  const heard = new Journal<string>();
  bus.onSignal('pull.finished', ({ key }) => heard.add(key));
  const send = (name: string, body: string) => peer.link.connection.publish(peer.link.names.signals + name, body);
  send('pull.finished', 'not JSON');
  send('pull.finished', '{"v":1}');
  send('pull.finished', '{"v":2,"key":"newer"}');
  send('pull.finished', '');
  send('no.such.name', '{}');
  send('constructor', '{}');
  send('pull.finished', '{"v":1,"key":"good","added":"by a newer minor"}');
  await heard.reached(1);
  expect(heard.entries).toEqual(['good']);
  expect(bus.signalsDropped).toBe(4);
});

it('a closed bus refuses at once', async () => {
  const bus = await connect({ prefix: freshPrefix() });
  await Promise.all([bus.close(), bus.close()]);
  await expect(bus.requestPull(pull(1))).rejects.toMatchObject(unavailable);
  await expect(bus.ping()).rejects.toMatchObject(unavailable);
  expect(() => bus.signal('pull.finished', { v: 1, key: 'k' })).not.toThrow();
});

it('closing the bus sends what was sent before', async () => {
  const prefix = freshPrefix();
  const [bus, peer] = [await connect({ prefix }), await connect({ prefix })];
  const heard = new Journal<string>();
  peer.onSignal('pull.finished', ({ key }) => heard.add(key));
  for (let n = 0; n < 100; n++) bus.signal('pull.finished', { v: 1, key: `${n}` });
  await bus.close();
  await heard.reached(100);
  await eventually(
    () => peer.depth(),
    (depth) => depth.interactive === 0,
  );
});
