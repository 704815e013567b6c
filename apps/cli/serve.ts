import { Deferred, within } from '#async';
import type { Config, Role } from '#config';
import { createLogger, flushLogger, type Logger } from '#telemetry';
import type { RunningServer } from './server.js';
import { readVersion } from './version.js';
import { letYoungSpaceGrow } from './young-space.js';

/** What a command needs of its process. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Text for people and scripts, with line ends. */
  out(text: string): void;
  err(text: string): void;
  /** Where bars may be drawn, when it is a terminal. */
  readonly terminal?: NodeJS.WriteStream;
  /** Where people answer, when it is a terminal. */
  readonly input?: NodeJS.ReadStream;
  /** The signals of the process. */
  readonly signals: NodeJS.EventEmitter;
  /** Ends the process at once. */
  exit(code: number): void;
}

type Start = (config: Config, options: { role: Role; logger: Logger }) => Promise<RunningServer>;

/** Time for running downloads and pulls when the process is asked to stop. */
const GRACE_MS = 30_000;

export interface ServeOptions {
  readonly config: Config;
  readonly role: Role;
  readonly warnings: readonly string[];
  readonly around: Surroundings;
  /** Another server to start, and how long its stop may take. */
  readonly start?: Start;
  readonly graceMs?: number;
}

/**
 * Runs until SIGTERM or SIGINT, then stops within the grace period.
 * Resolves to the exit code: 0 stopped, 1 could not start or stop. A second signal exits with 130 at once.
 */
export async function serve({ config, role, warnings, around, start = startLazily, graceMs = GRACE_MS }: ServeOptions) {
  let logger: Logger;
  try {
    logger = createLogger({ level: config.logLevel, file: config.logFile });
  } catch (error) {
    around.err(`ociregistry: cannot write the log: ${(error as Error).message}\n`);
    return 1;
  }
  for (const warning of warnings) logger.warn({ component: 'config' }, warning);
  const tooLong = () => new Error(`still busy ${graceMs / 1000} s after the signal`);
  // Listened for before anything starts, so that a signal in the middle of a start is not lost.
  const asked = stopSignal(around);
  let server: RunningServer | undefined;
  try {
    logger.info({ role, stack: config.stack, ...readVersion() }, 'starting');
    const starting = start(config, { role, logger });
    server = await Promise.race([starting, asked.signal.then(() => within(graceMs, starting, tooLong))]);
    around.err(readyText(server.addresses));
    server.ready.then(
      () => logger.info({ role }, 'ready'),
      () => {},
    );
    logger.info({ signal: await asked.signal }, 'stopping');
    await within(graceMs, server.stop(), tooLong);
    logger.info('stopped');
    return 0;
  } catch (error) {
    const doing = server ? 'stop' : 'start';
    logger.fatal({ err: error }, `could not ${doing}`);
    around.err(`ociregistry: could not ${doing}: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  } finally {
    asked.ignore();
    await flushLogger(logger);
  }
}

async function startLazily(...args: Parameters<Start>): Promise<RunningServer> {
  // `version` and `config` must not pay for Nest and the drivers.
  const { startServer } = await import('./server.js');
  const server = await startServer(...args);
  server.ready.then(letYoungSpaceGrow, letYoungSpaceGrow);
  return server;
}

/** The first signal resolves, the second ends the process. */
function stopSignal({ signals, exit }: Surroundings): { readonly signal: Promise<string>; ignore(): void } {
  const names = ['SIGTERM', 'SIGINT'] as const;
  const first = new Deferred<string>();
  let count = 0;
  const listeners = names.map((name) => ({
    name,
    listener: () => {
      count++;
      if (count === 1) first.resolve(name);
      else exit(130);
    },
  }));
  for (const { name, listener } of listeners) signals.on(name, listener);
  return {
    signal: first.promise,
    ignore: () => {
      for (const { name, listener } of listeners) signals.off(name, listener);
    },
  };
}

/** What people see on start. */
function readyText({ registry, admin }: RunningServer['addresses']): string {
  const lines = [...(registry ? [`registry  ${registry}`] : []), `admin     ${admin}`];
  if (registry) lines.push(`try       docker pull ${new URL(registry).host}/docker.io/library/alpine:latest`);
  return `${lines.join('\n')}\n`;
}
