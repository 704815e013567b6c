import { randomUUID } from 'node:crypto';
import { realpath, stat, symlink, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { ImportReport } from '#registry';
import { type AdminApi, Refused } from '../api.js';

const POLL_MS = 500;

/**
 * Has a server on this machine read the archive in place, which it does when we may link to it from the server's inbox: its
 * data directory is its own user's. Undefined where that is not so; the archive has to be sent then.
 */
export async function importLocally(
  path: string,
  api: AdminApi,
  query: Readonly<Record<string, string | readonly string[] | undefined>>,
  progress: (read: number) => void,
  signal: AbortSignal,
): Promise<ImportReport | undefined> {
  const link = isLoopback(api.url) ? await linked(path, api, signal) : undefined;
  if (!link) return undefined;
  const { link: name } = link.body;
  const polling = setInterval(() => {
    api.json<{ read: number }>('GET', `/import/local/${name}`, { signal }).then(
      ({ read }) => progress(read),
      () => {},
    );
  }, POLL_MS);
  try {
    return await api.json<ImportReport>('POST', '/import/local', { body: link.body, query, signal });
  } catch (error) {
    // Another machine's or container's file system, a file that the server may not read, or a server without inbox.
    if (error instanceof Refused && error.status === 404) return undefined;
    throw error;
  } finally {
    clearInterval(polling);
    await unlink(link.at).catch(() => {});
  }
}

/** Whoever answers elsewhere may tell us any directory. */
function isLoopback(url: string): boolean {
  return /^(localhost|127(\.\d+){3}|\[::1\])$/.test(new URL(url).hostname);
}

async function linked(path: string, api: AdminApi, signal: AbortSignal) {
  try {
    const { dataDir } = await api.json<{ dataDir: string }>('GET', '/config', { signal });
    const target = await realpath(path);
    const { ino, size } = await stat(target, { bigint: true });
    const name = randomUUID();
    const at = join(dataDir, 'inbox', name);
    await symlink(target, at);
    return { at, body: { link: name, inode: String(ino), size: Number(size) } };
  } catch {
    return undefined;
  }
}
