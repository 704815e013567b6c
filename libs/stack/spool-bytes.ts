import { mkdirSync, statfsSync } from 'node:fs';
import type { Config } from '#config';

const DEFAULT = 20 * 2 ** 30;
const LEAST = 64 * 2 ** 20;

/** Bytes that running downloads may take of the disk that `directory` is on; makes the directory. */
export function spoolBytes(maxBytes: Config['spool']['maxBytes'], directory: string): number {
  if (typeof maxBytes === 'number') return maxBytes;
  mkdirSync(directory, { recursive: true });
  const { bsize, blocks, bavail } = statfsSync(directory);
  const bytes = maxBytes ? (bsize * blocks * maxBytes.percent) / 100 : Math.min(DEFAULT, (bsize * bavail) / 2);
  return Math.max(LEAST, Math.floor(bytes));
}
