import { within } from '#async';
import type { Config } from '#config';
import { createLogger, flushLogger } from '#telemetry';
import { AdminApi, CommandFailure, NoServer } from './api.js';
import type { Surroundings } from './serve.js';

export interface ServerOptions {
  /** As given; else the server that this configuration starts. */
  readonly server?: string;
  readonly token?: string;
  readonly config: Config;
  /** Whether the stack is started for this command when no server runs. */
  readonly startable: boolean;
}

const INTERRUPTED = 130;
const FAILED = 1;
const STOP_MS = 30_000;

/**
 * Runs a command against the admin API. Resolves to its exit code: what `work` returned, 1 with the reason on stderr,
 * 130 after Ctrl-C or SIGTERM, for which `work` is told to stop and waited for.
 */
export async function withServer(
  options: ServerOptions,
  around: Surroundings,
  work: (api: AdminApi, signal: AbortSignal) => Promise<number>,
): Promise<number> {
  const interrupt = new AbortController();
  let signals = 0;
  const listener = () => {
    if (++signals > 1) around.exit(INTERRUPTED);
    interrupt.abort(new Error('interrupted'));
  };
  for (const name of ['SIGINT', 'SIGTERM']) around.signals.on(name, listener);
  try {
    return await connected(options, interrupt.signal, (api) => work(api, interrupt.signal));
  } catch (error) {
    if (interrupt.signal.aborted) return INTERRUPTED;
    around.err(`ociregistry: ${error instanceof Error ? error.message : String(error)}\n`);
    return FAILED;
  } finally {
    for (const name of ['SIGINT', 'SIGTERM']) around.signals.off(name, listener);
  }
}

async function connected(
  options: ServerOptions,
  signal: AbortSignal,
  work: (api: AdminApi) => Promise<number>,
): Promise<number> {
  const { config } = options;
  const token = options.token ?? config.admin.token;
  const url = options.server ?? adminUrl(config);
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw new CommandFailure(`"${url}" is no URL of a server; expected http://host:port`);
  const api = new AdminApi(url, token);
  try {
    if (options.startable && options.server === undefined && !(await answers(api, signal)))
      return await withOwnStack(config, token, signal, work);
    return await work(api);
  } finally {
    await api.close();
  }
}

/** Any answer will do: what a command needs, it asks itself. */
async function answers(api: AdminApi, signal: AbortSignal): Promise<boolean> {
  try {
    await api.json('GET', '/preload', { signal });
  } catch (error) {
    if (error instanceof NoServer) return false;
    signal.throwIfAborted();
  }
  return true;
}

/** The stack of this configuration for the time of one command, on ports of its own, without its background work. */
async function withOwnStack(
  config: Config,
  token: string | undefined,
  signal: AbortSignal,
  work: (api: AdminApi) => Promise<number>,
): Promise<number> {
  const logger = createLogger({ level: config.logFile ? config.logLevel : 'fatal', file: config.logFile });
  const { startServer } = await import('./server.js');
  const server = await startServer(quiet(config), { role: 'all', logger, keeping: false });
  try {
    await Promise.race([server.ready, aborted(signal)]);
    const api = new AdminApi(server.addresses.admin, token);
    try {
      return await work(api);
    } finally {
      await api.close();
    }
  } finally {
    await within(STOP_MS, server.stop(), () => new CommandFailure('the stack does not stop')).finally(() =>
      flushLogger(logger),
    );
  }
}

function quiet(config: Config): Config {
  return {
    ...config,
    host: '127.0.0.1',
    port: 0,
    adminPort: 0,
    admin: { ...config.admin, host: '127.0.0.1' },
    health: undefined,
    metrics: undefined,
    serverTlsConfig: { clientAuth: 'none' },
    relay: { ...config.relay, port: 0, advertise: { ...config.relay.advertise, port: 0 } },
    preloadImages: undefined,
    preload: { images: [] },
    verify: { ...config.verify, atStart: false },
    // The process ends long before.
    journal: { every: 30 * 24 * 3_600_000 },
    watch: [],
  };
}

function adminUrl({ admin: { host }, adminPort }: Config): string {
  const everywhere = host === '0.0.0.0' || host === '::';
  const name = everywhere ? '127.0.0.1' : host.includes(':') ? `[${host}]` : host;
  return `http://${name}:${adminPort}`;
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
