import { randomUUID } from 'node:crypto';
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startOf } from './processes.js';

interface Holder {
  readonly pid: number;
  /** Tells the holder from a later process of the same number. */
  readonly start: string;
}

const MAX_TRIES = 10;

/**
 * At most one server per directory. PostgreSQL's own lock is not enough: we stop a server that a killed process left
 * behind, and must not stop one whose process lives. Throws with the holder's process id. Returns what gives it back.
 */
export function lockDirectory(directory: string): () => void {
  const file = join(directory, 'server.lock');
  const mine = `${file}.${randomUUID()}`;
  const self: Holder = { pid: process.pid, start: startOf(process.pid) ?? '' };
  writeFileSync(mine, JSON.stringify(self), { mode: 0o600 });
  try {
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      try {
        // Unlike writing, linking makes the file with its content at once, or fails.
        linkSync(mine, file);
        return () => rmSync(file, { force: true });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      const found = read(file);
      const holder = parse(found);
      if (holder && startOf(holder.pid) === holder.start)
        throw new Error(
          `another server (process ${holder.pid}) runs on ${directory}; stop it or choose another data directory`,
        );
      removeStale(file, found);
    }
    throw new Error(`${file} cannot be had`);
  } finally {
    rmSync(mine, { force: true });
  }
}

/** Moved away before it is removed: if another process replaced it since, that one's lock is put back. */
function removeStale(file: string, content: string | undefined): void {
  const aside = `${file}.${randomUUID()}`;
  try {
    renameSync(file, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  if (read(aside) !== content) linkSync(aside, file);
  rmSync(aside, { force: true });
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

function parse(content: string | undefined): Holder | undefined {
  try {
    return JSON.parse(content ?? '') as Holder;
  } catch {
    return undefined;
  }
}
