import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect as dial } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort, type NatsService, type Service, startNats } from '../../../test/support/services/index.js';
import { programPath, startLocal } from '../../../test/support/services/local.js';
import { createWorker, done, eventually, Journal, later, pull } from '../harness.contract.js';
import { makeOperator } from './operator.contract.js';
import type { JetStreamOptions } from './options.js';
import { JetStreamStrategy } from './strategy.js';
import { openings, slots } from './suite.contract.js';

const unavailable = { reason: 'UNAVAILABLE', origin: 'bus', retryable: true };

const { connect } = openings();

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

  describe('with a credentials file', () => {
    let directory: string;
    let guarded: Service;
    beforeAll(async () => {
      directory = await mkdtemp(join(tmpdir(), 'ociregistry-nats-creds-'));
      const operator = makeOperator();
      await writeFile(join(directory, 'nats.conf'), operator.config);
      await writeFile(join(directory, 'us.creds'), operator.credentials);
      await writeFile(join(directory, 'stranger.creds'), operator.strangerCredentials);
      guarded = await startWithFiles(['-c', join(directory, 'nats.conf')]);
    }, 120_000);
    afterAll(async () => {
      await guarded.stop();
      await rm(directory, { recursive: true, force: true });
    });

    it('works with JetStream', async () => {
      const bus = await connect({
        servers: [`nats://127.0.0.1:${guarded.port}`],
        credsFile: join(directory, 'us.creds'),
      });
      await expect(bus.requestPull(pull(1))).resolves.toBe('queued');
    });

    it('is refused for a user of an unknown account, and without the file', async () => {
      const servers = [`nats://127.0.0.1:${guarded.port}`];
      await expect(connect({ servers, credsFile: join(directory, 'stranger.creds') })).rejects.toMatchObject(
        unavailable,
      );
      await expect(connect({ servers })).rejects.toMatchObject(unavailable);
      await expect(connect({ servers, credsFile: join(directory, 'missing.creds') })).rejects.toThrow(/missing\.creds/);
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
