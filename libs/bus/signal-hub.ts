import { Logger } from '@nestjs/common';
import type { SignalName, Signals } from './events.js';

type Handler = (payload: never) => void;

/** The signal handlers of one process. A handler that throws is logged and affects no other. */
export class SignalHub {
  private readonly logger = new Logger('Signals');
  private readonly handlers = new Map<string, Set<{ readonly run: Handler }>>();

  /** The same function may be added twice and then runs twice. */
  add<N extends SignalName>(name: N, run: (payload: Signals[N]) => void): () => void {
    const entry = { run: run as Handler };
    const known = this.handlers.get(name);
    if (known) known.add(entry);
    else this.handlers.set(name, new Set([entry]));
    return () => {
      const entries = this.handlers.get(name);
      if (entries?.delete(entry) && entries.size === 0) this.handlers.delete(name);
    };
  }

  /** Whether anybody in this process listens; if not, a message need not be decoded. */
  listens(name: string): boolean {
    return this.handlers.has(name);
  }

  /** Handlers added or removed meanwhile do not change who hears this one. */
  dispatch<N extends SignalName>(name: N, payload: Signals[N]): void {
    const entries = this.handlers.get(name);
    if (!entries) return;
    for (const { run } of [...entries]) {
      try {
        run(payload as never);
      } catch (error) {
        this.logger.error(`a handler of ${name} failed`, error instanceof Error ? error.stack : String(error));
      }
    }
  }
}
