import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect as dial } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { RetentionPolicy } from '@nats-io/jetstream';
import { millis } from '@nats-io/nats-core';
import { freePort, type NatsService, type Service, startNats } from '../../../test/support/services/index.js';
import { programPath, startLocal } from '../../../test/support/services/local.js';
import { createWorker, done, eventually, Journal, later, pull } from '../harness.contract.js';
import { connectJetStream, type JetStreamBus } from './bus.js';
import type { JetStreamOptions } from './options.js';
import { JetStreamStrategy } from './strategy.js';

const slots = { interactive: 4, background: 2 };
const freshPrefix = () => `t${randomBytes(6).toString('hex')}`;
const unavailable = { reason: 'UNAVAILABLE', origin: 'bus', retryable: true };

let nats: NatsService;
const buses: JetStreamBus[] = [];
beforeAll(async () => {
  nats = await startNats();
}, 120_000);
afterEach(async () => {
  await Promise.all(buses.splice(0).map((bus) => bus.close()));
});
afterAll(() => nats.stop());

async function connect(options: Partial<JetStreamOptions> = {}): Promise<JetStreamBus> {
  const bus = await connectJetStream({ servers: [nats.url], ...options });
  buses.push(bus);
  return bus;
}

/** A container would not see the files that `args` name, so this is always a local process. */
async function startWithFiles(args: string[]): Promise<Service> {
  return startLocal({
    name: 'nats',
    container: { image: '', port: 0 },
    local: async (own, port) => ({
      command: await programPath('nats-server'),
      args: ['-a', '127.0.0.1', '-p', `${port}`, '-js', '-sd', join(own, 'jetstream'), ...args],
    }),
    probe: async (port) => {
      const socket = dial(port, '127.0.0.1');
      await once(socket, 'data').finally(() => socket.destroy());
    },
  });
}

describe('logging in', () => {
  describe.each<[string, string[], Partial<JetStreamOptions>, (url: string) => string, Partial<JetStreamOptions>]>([
    [
      'user and password',
      ['--user', 'us', '--pass', 'p@ss'],
      { user: 'us', password: 'p@ss' },
      (url) => url.replace('//', '//us:p%40ss@'),
      { user: 'us', password: 'wrong' },
    ],
    ['a token', ['--auth', 'tok'], { token: 'tok' }, (url) => url.replace('//', '//tok@'), { token: 'wrong' }],
  ])('with %s', (_, args, login, inUrl, wrong) => {
    let guarded: NatsService;
    beforeAll(async () => {
      guarded = await startNats({ args });
    }, 120_000);
    afterAll(() => guarded.stop());

    it('works from options and from the URL', async () => {
      for (const options of [{ servers: [guarded.url], ...login }, { servers: [inUrl(guarded.url)] }]) {
        const bus = await connect(options);
        await expect(bus.ping()).resolves.toBeUndefined();
      }
    });

    it('is refused when wrong', async () => {
      await expect(connect({ servers: [guarded.url], ...wrong })).rejects.toMatchObject(unavailable);
      await expect(connect({ servers: [guarded.url] })).rejects.toMatchObject(unavailable);
    });
  });

  describe('over TLS', () => {
    let directory: string;
    let guarded: Service;
    let cert: string;
    let key: string;
    beforeAll(async () => {
      directory = await mkdtemp(join(tmpdir(), 'ociregistry-nats-tls-'));
      [cert, key] = [join(directory, 'tls.crt'), join(directory, 'tls.key')];
      const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
      const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '30'];
      await promisify(execFile)('openssl', ['req', '-x509', ...kind, ...subject, '-keyout', key, '-out', cert]);
      // The certificate is its own authority; clients have to show it as well.
      guarded = await startWithFiles(['--tlsverify', '--tlscert', cert, '--tlskey', key, '--tlscacert', cert]);
    }, 120_000);
    afterAll(async () => {
      await guarded.stop();
      await rm(directory, { recursive: true, force: true });
    });

    it.each(['nats', 'tls'])('works from %s:// with the authority and a client certificate', async (scheme) => {
      const bus = await connect({ servers: [`${scheme}://127.0.0.1:${guarded.port}`], tls: { ca: cert, cert, key } });
      await expect(bus.requestPull(pull(1))).resolves.toMatch(/queued|coalesced/);
    });

    it('is refused without them', async () => {
      const servers = [`tls://127.0.0.1:${guarded.port}`];
      await expect(connect({ servers })).rejects.toMatchObject(unavailable);
      await expect(connect({ servers, tls: { ca: cert } })).rejects.toMatchObject(unavailable);
    }, 30_000);
  });

  it('needs no more permissions than docs/events.md tells', async () => {
    const page = await readFile(join(import.meta.dirname, '../../../docs/events.md'), 'utf8');
    const sentence = /^A NATS user for this server needs to publish to (.*?) and to subscribe to\s(.*?)\.$/ms.exec(
      page,
    );
    const [publish, subscribe] = [sentence?.[1], sentence?.[2]].map((part) =>
      JSON.stringify([...(part ?? '').matchAll(/`([^`]+)`/g)].map(([, subject]) => subject)),
    );
    const directory = await mkdtemp(join(tmpdir(), 'ociregistry-nats-users-'));
    const file = join(directory, 'nats.conf');
    const permissions = `{ publish: ${publish}, subscribe: ${subscribe} }`;
    await writeFile(file, `authorization { users: [{ user: us, password: pw, permissions: ${permissions} }] }`);
    const guarded = await startWithFiles(['-c', file]);
    try {
      const bus = await connect({ servers: [`nats://us:pw@127.0.0.1:${guarded.port}`] });
      const [seen, heard] = [new Journal<string>(), new Journal<string>()];
      bus.onSignal('pull.finished', ({ key }) => heard.add(key));
      const worker = await createWorker(new JetStreamStrategy(bus, { slots }), ({ key }, delivery) => {
        delivery.working();
        bus.signal('pull.finished', { v: 1, key });
        seen.add(key);
        return seen.entries.length === 1 ? later(1) : done;
      });
      await worker.listen();
      await bus.requestPull(pull(1));
      await Promise.all([seen.reached(2), heard.reached(2)]);
      await eventually(
        () => bus.depth(),
        (depth) => depth.interactive === 0,
      );
      await worker.close();
      await bus.close();
    } finally {
      await guarded.stop();
      await rm(directory, { recursive: true, force: true });
    }
  }, 30_000);

  it('is tried once where nobody listens', async () => {
    await expect(connect({ servers: [`nats://127.0.0.1:${await freePort()}`] })).rejects.toMatchObject(unavailable);
  });
});

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
