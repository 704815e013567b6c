import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A file system of its own, in memory, that can be filled to the last byte. */
export interface SmallDisk {
  readonly path: string;
  /** Leaves no byte free. */
  fill(): void;
  /** Takes back what `fill` has taken. */
  free(): void;
  unmount(): void;
}

/** Undefined where this user may not mount anything, not even by `sudo`. `size` in bytes. */
export function smallDisk(size: number): SmallDisk | undefined {
  const path = mkdtempSync(join(tmpdir(), 'ociregistry-disk-'));
  const prefix = process.getuid?.() === 0 ? [] : ['sudo', '-n'];
  const run = (...command: string[]) => [...prefix, ...command] as [string, ...string[]];
  const [program, ...args] = run('mount', '-t', 'tmpfs', '-o', `size=${size},mode=1777`, 'tmpfs', path);
  if (spawnSync(program, args).status !== 0) {
    rmSync(path, { recursive: true });
    return undefined;
  }
  const filler = join(path, 'filler');
  return {
    path,
    fill() {
      const fd = openSync(filler, 'a');
      try {
        for (const piece of [2 ** 20, 4096, 1]) {
          const bytes = Buffer.alloc(piece, 1);
          try {
            for (;;) writeSync(fd, bytes);
          } catch (error) {
            if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
          }
        }
      } finally {
        closeSync(fd);
      }
    },
    free: () => rmSync(filler, { force: true }),
    unmount() {
      const [unmount, ...rest] = run('umount', path);
      execFileSync(unmount, rest);
      rmSync(path, { recursive: true });
    },
  };
}
