import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '#config';

/**
 * What the tokens of clients are signed with: configured, or (alone, where nobody else needs it) made once and kept in the data
 * directory, so that tokens outlive a restart. Throws Error when it can be neither read nor written.
 */
export function tokenKey({ clientAuth, dataDir, stack }: Config): string {
  if (clientAuth?.tokenKey) return clientAuth.tokenKey;
  if (stack === 'distributed') throw new Error('the distributed stack needs clientAuth.tokenKey');
  const file = join(dataDir, 'token-key');
  try {
    writeFileSync(file, randomBytes(32).toString('hex'), { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const key = readFileSync(file, 'utf8').trim();
  if (key.length < 32) throw new Error(`${file} holds no key; remove it, and a new one is made`);
  return key;
}
