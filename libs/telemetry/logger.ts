import { mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import pino, { type DestinationStream, type Logger as PinoLogger } from 'pino';
import { within } from '#async';
import { redactLine } from './redact.js';

/** Structured log, one JSON object a line. `child({ component })` adds fields to all that it logs. */
export type Logger = PinoLogger;

export interface LoggerOptions {
  /** Least severe level: `trace`, `debug`, `info`, `warn`, `error` or `fatal`. */
  readonly level: string;
  /** File to append to; stdout without it. Directories on the way are made. */
  readonly file?: string;
}

/** Log that waits for a slow reader, in bytes; what comes on top is dropped rather than kept in memory. */
const MAX_WAITING = 4 * 1024 * 1024;
const FLUSH_MS = 1_000;

/** @throws when the log file cannot be opened. */
export function createLogger({ level, file }: LoggerOptions): Logger {
  const dest = file ? openForAppend(file) : 1;
  // With `minLength: 0` a flush would not wait for a write that is on its way.
  return loggerTo(pino.destination({ dest, sync: false, minLength: 1, maxLength: MAX_WAITING }), level);
}

/** Opened here, since pino would tell of a bad path later and as an uncaught error. */
function openForAppend(file: string): number {
  mkdirSync(dirname(file), { recursive: true });
  return openSync(file, 'a');
}

/** A logger that writes its lines to `destination`. */
export function loggerTo(destination: DestinationStream, level: string): Logger {
  return pino(
    {
      level,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: (value: unknown) => (value instanceof Error ? pino.stdSerializers.err(value) : value) },
      hooks: { streamWrite: redactLine },
    },
    destination,
  );
}

/** Writes out what is still waiting, but waits at most a second for whoever reads. For the end of the process. */
export async function flushLogger(logger: Logger): Promise<void> {
  const flushed = new Promise<void>((resolve) => logger.flush(() => resolve()));
  await within(FLUSH_MS, flushed, () => new Error('the log is not read')).catch(() => {});
}
