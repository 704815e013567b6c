import { createHash, randomBytes } from 'node:crypto';
import { mkdir, open, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Aside, Scratch } from '#registry';

const SLICE = 256 * 1024;

/** A file without a name in `directory`: the system frees it when it is closed, or when the process ends. */
export async function openScratch(directory: string): Promise<Scratch> {
  await mkdir(directory, { recursive: true });
  const path = join(directory, `scratch-${randomBytes(8).toString('hex')}`);
  const file = await open(path, 'wx+', 0o600);
  await unlink(path);
  let end = 0;
  return {
    async append(body): Promise<Aside> {
      const hash = createHash('sha256');
      const offset = end;
      for await (const chunk of body) {
        hash.update(chunk);
        await file.write(chunk, 0, chunk.length, end);
        end += chunk.length;
      }
      return { digest: `sha256:${hash.digest('hex')}`, size: end - offset, offset };
    },
    async *read({ offset, size }: Aside) {
      for (let at = 0; at < size; ) {
        const slice = Buffer.allocUnsafe(Math.min(SLICE, size - at));
        const { bytesRead } = await file.read(slice, 0, slice.length, offset + at);
        if (bytesRead === 0) throw new Error('the scratch file is shorter than what was written');
        yield slice.subarray(0, bytesRead);
        at += bytesRead;
      }
    },
    close: () => file.close(),
  };
}
