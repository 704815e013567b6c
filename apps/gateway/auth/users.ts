import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import { parseHtpasswd } from '#config';
import type { Log } from '#registry';

/** Milliseconds between looks at the file. Polled, since mounted secrets are swapped by links that no watch follows. */
const LOOK_MS = 2000;

/** Users and their bcrypt hashes from a file that is read again when it changes; what is no such file changes nothing. */
export class Users {
  private hashes: ReadonlyMap<string, string>;
  /** Grows when they change. */
  version = 0;
  private readonly reload: () => void;

  /** Throws Error when the file cannot be used. */
  constructor(
    private readonly path: string,
    log: Log,
    lookMs = LOOK_MS,
  ) {
    this.hashes = this.read();
    this.reload = () => {
      try {
        this.hashes = this.read();
        this.version++;
        log.info({ file: path, users: this.hashes.size }, 'users reloaded');
      } catch (error) {
        log.warn({ file: path, error: String(error) }, 'the file of users cannot be used, the old users stay');
      }
    };
    watchFile(path, { interval: lookMs, persistent: false }, this.reload);
  }

  hashOf(user: string): string | undefined {
    return this.hashes.get(user);
  }

  /** Of one of them: who is not there costs as much to check as who is. */
  anyHash(): string {
    return this.hashes.values().next().value ?? '';
  }

  close(): void {
    unwatchFile(this.path, this.reload);
  }

  private read(): ReadonlyMap<string, string> {
    const { users, problem } = parseHtpasswd(readFileSync(this.path, 'utf8'));
    if (problem !== undefined) throw new Error(problem);
    return users;
  }
}
