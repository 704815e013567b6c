import { mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import pino, { type DestinationStream, type Logger as PinoLogger } from 'pino';
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

/** @throws when the log file cannot be opened. */
export function createLogger({ level, file }: LoggerOptions): Logger {
  return loggerTo(
    pino.destination({ dest: file ? openForAppend(file) : 1, sync: false, maxLength: MAX_WAITING }),
    level,
  );
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

/** Writes out what is still waiting. For the end of the process. */
export function flushLogger(logger: Logger): Promise<void> {
  return new Promise((resolve) => logger.flush(() => resolve()));
}
