import { connect } from 'node:net';
import { join } from 'node:path';
import { programPath } from './local.js';
import type { Service } from './service.js';
import { startService } from './start.js';

export interface NatsService extends Service {
  /** `nats://host:port`, no credentials. */
  url: string;
}

/** NATS with JetStream on file storage. `args` are added to the server's command line. */
export async function startNats({ args = [] }: { args?: string[] } = {}): Promise<NatsService> {
  const service = await startService({
    name: 'nats',
    container: { image: 'nats:2.12-alpine', port: 4222, command: ['-js', '-sd', '/data', ...args] },
    local: async (directory, port) => ({
      command: await programPath('nats-server'),
      args: ['-a', '127.0.0.1', '-p', String(port), '-js', '-sd', join(directory, 'jetstream'), ...args],
    }),
    probe: greeting,
  });
  return Object.assign(service, { url: `nats://127.0.0.1:${service.port}` });
}

/** A NATS server speaks first: `INFO {...}`. */
function greeting(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, timeout: 2_000 });
    const fail = (error: Error) => {
      socket.destroy();
      reject(error);
    };
    socket.once('data', (data) => {
      if (!data.toString().startsWith('INFO ')) return fail(new Error('not a NATS server'));
      socket.destroy();
      resolve();
    });
    socket.once('timeout', () => fail(new Error('no greeting within 2 s')));
    socket.once('end', () => fail(new Error('closed before the greeting')));
    socket.once('error', fail);
  });
}
