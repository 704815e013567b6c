import { EventEmitter, once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Deferred } from '#async';
import { load } from '#config';
import { type ServeOptions, serve } from './serve.js';

type Start = NonNullable<ServeOptions['start']>;

describe('serve', () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'serve-'));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  let count = 0;
  function running(start: Start, options: Partial<ServeOptions> = {}) {
    const logFile = join(directory, `${count++}.log`);
    const { config } = load({ flags: { logFile, dataDir: directory } });
    const signals = new EventEmitter();
    const exits: number[] = [];
    const told = new Deferred<string>();
    const around = {
      env: {},
      out: () => {},
      err: (text: string) => told.resolve(text),
      signals,
      exit: (code: number) => void exits.push(code),
    };
    const code = serve({ config, role: 'all', warnings: ['a: b'], around, start, ...options });
    const log = () =>
      readFileSync(logFile, 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as { level: string; msg: string });
    return { code, signals, exits, told: told.promise, log };
  }

  /** Listens, so that starting and stopping mean something. */
  const listening: Start = async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const registry = `http://localhost:${(server.address() as AddressInfo).port}`;
    return {
      addresses: { registry, admin: 'http://127.0.0.1:1' },
      ready: Promise.resolve(),
      stop: () => new Promise((resolve) => server.close(() => resolve())),
    };
  };

  it.each(['SIGTERM', 'SIGINT'])('tells where it listens, and stops on %s with 0', async (signal) => {
    const { code, signals, told, log, exits } = running(listening);
    expect(await told).toMatch(
      /^registry {2}http:\/\/localhost:\d+\nadmin {5}http:\/\/127.0.0.1:1\ntry {7}docker pull localhost:\d+\/docker.io\/library\/alpine:latest\n$/,
    );
    signals.emit(signal);
    expect(await code).toBe(0);
    expect(exits).toEqual([]);
    expect(signals.listenerCount(signal)).toBe(0);
    expect(log().map(({ level, msg }) => `${level} ${msg}`)).toEqual([
      'warn a: b',
      'info starting',
      'info ready',
      'info stopping',
      'info stopped',
    ]);
  });

  it('does not lose a signal that comes while it starts', async () => {
    const gate = new Deferred();
    const { code, signals } = running(async (...args) => {
      await gate.promise;
      return listening(...args);
    });
    signals.emit('SIGTERM');
    gate.resolve();
    expect(await code).toBe(0);
  });

  it('exits at once on a second signal', async () => {
    const stop = new Deferred();
    const { code, signals, exits, told } = running(async () => ({
      addresses: { admin: 'http://a' },
      ready: Promise.resolve(),
      stop: () => stop.promise,
    }));
    expect(await told).toBe('admin     http://a\n');
    signals.emit('SIGTERM');
    expect(exits).toEqual([]);
    signals.emit('SIGINT');
    expect(exits).toEqual([130]);
    stop.resolve();
    await code;
  });

  it('gives up a stop that takes longer than the grace period', async () => {
    const { code, signals, told, log } = running(
      async () => ({ addresses: { admin: 'http://a' }, ready: Promise.resolve(), stop: () => new Promise(() => {}) }),
      { graceMs: 10 },
    );
    await told;
    signals.emit('SIGTERM');
    expect(await code).toBe(1);
    expect(log().at(-1)).toMatchObject({ level: 'fatal', msg: 'could not stop' });
  });

  it('says why it could not start', async () => {
    const { code, told } = running(async () => {
      throw new Error('listen EADDRINUSE: 0.0.0.0:8080');
    });
    expect(await code).toBe(1);
    expect(await told).toBe('ociregistry: could not start: listen EADDRINUSE: 0.0.0.0:8080\n');
  });

  it('says that it cannot write the log', async () => {
    const { config } = load({ flags: { logFile: directory } });
    const { code, told } = running(listening, { config });
    expect(await code).toBe(1);
    expect(await told).toContain('cannot write the log: EISDIR');
  });
});
