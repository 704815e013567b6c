import type { LoggerService } from '@nestjs/common';
import type { Logger } from './logger.js';

type Level = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace';

/**
 * Nest's own messages in our log. Nest calls `log(message, ...more, context)` and `error(message, stack?, context)`;
 * what it announces while starting is for developers, so its `log` is our `debug`.
 */
export class NestLogger implements LoggerService {
  constructor(private readonly logger: Logger) {}

  log(message: unknown, ...more: unknown[]): void {
    this.write('debug', message, more);
  }

  fatal(message: unknown, ...more: unknown[]): void {
    this.write('fatal', message, more);
  }

  error(message: unknown, ...more: unknown[]): void {
    this.write('error', message, more);
  }

  warn(message: unknown, ...more: unknown[]): void {
    this.write('warn', message, more);
  }

  debug(message: unknown, ...more: unknown[]): void {
    this.write('debug', message, more);
  }

  verbose(message: unknown, ...more: unknown[]): void {
    this.write('trace', message, more);
  }

  private write(level: Level, message: unknown, more: unknown[]): void {
    const last = more.at(-1);
    const context = typeof last === 'string' && !isStack(last) ? last : undefined;
    const rest = context === undefined ? more : more.slice(0, -1);
    const fields: Record<string, unknown> = { component: 'nest', ...(context ? { context } : {}) };
    const error = [message, ...rest].find((value) => value instanceof Error);
    const stack = rest.find((value) => typeof value === 'string' && isStack(value));
    const details = rest.filter((value) => value !== undefined && value !== error && value !== stack);
    if (error) fields.err = error;
    else if (stack) fields.stack = stack;
    if (details.length > 0) fields.details = details;
    if (typeof message === 'object' && message !== null && !(message instanceof Error)) fields.fields = message;
    this.logger[level](
      fields,
      message instanceof Error ? message.message : typeof message === 'object' ? '' : String(message),
    );
  }
}

function isStack(text: string): boolean {
  return /\n\s+at /.test(text);
}
