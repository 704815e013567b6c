import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Takes the data directory for this process. Throws an Error that names the process which has it. A lock whose process is
 * gone, or whose number now belongs to another process, does not count. Returns the release.
 */
export function lockDataDir(dataDir: string): () => void {
  mkdirSync(dataDir, { recursive: true });
  const path = join(dataDir, 'ociregistry.lock');
  const mine = `${process.pid} ${startOf(process.pid)}\n`;
  for (let attempt = 0; ; attempt++) {
    try {
      writeFileSync(path, mine, { flag: 'wx' });
      return () => {
        if (read(path) === mine) rmSync(path, { force: true });
      };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || attempt > 2) throw error;
      const [pid, start] = (read(path) ?? '').trim().split(' ');
      if (pid && start && startOf(Number(pid)) === start && Number(pid) !== process.pid) {
        throw new Error(`the data directory ${dataDir} is in use by another server (process ${pid})`);
      }
      rmSync(path, { force: true });
    }
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** Distinguishes processes that were given the same number: the kernel's start time, where it tells; `gone` when there is none. */
function startOf(pid: number): string {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold spaces.
    return fields.slice(fields.lastIndexOf(')') + 2).split(' ')[19] ?? 'gone';
  } catch {
    try {
      process.kill(pid, 0);
      return 'alive';
    } catch {
      return 'gone';
    }
  }
}
