import { createReadStream, createWriteStream } from 'node:fs';
import { rename, unlink } from 'node:fs/promises';
import { basename } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { readTar } from '#archive';
import { BUNDLE_FILE, digestsOfMember } from '#registry';
import { type AdminApi, CommandFailure } from '../api.js';
import { openProgress } from '../progress.js';
import type { Surroundings } from '../serve.js';
import { bytesText, count } from '../text.js';

export interface ExportOptions {
  readonly images: readonly string[];
  readonly output: string;
  /** A bundle that the other side has loaded. */
  readonly since?: string;
  readonly platforms: readonly string[];
}

interface Plan {
  readonly images: readonly { reference: string; digest: string; left: readonly string[] }[];
  readonly blobs: number;
  readonly bytes: number;
}

/** Writes to a file beside the output first: what has the output's name is whole. */
export async function exportCommand(
  { images, output, since, platforms }: ExportOptions,
  api: AdminApi,
  around: Surroundings,
  signal: AbortSignal,
): Promise<number> {
  const without = since === undefined ? [] : await heldBy(since);
  const body = { images, platforms, without };
  const plan = await api.json<Plan>('POST', '/export/plan', { body, signal });
  const progress = openProgress(around.terminal, around.err);
  const partial = `${output}.partial`;
  try {
    const archive = await api.download('/export', { body, signal });
    let received = 0;
    const count = new Transform({
      transform(chunk: Buffer, _, done) {
        received += chunk.length;
        // Headers and padding come on top of the plan's bytes.
        progress.show(basename(output), Math.min(received, plan.bytes), plan.bytes);
        done(null, chunk);
      },
    });
    await pipeline(archive, count, createWriteStream(partial, { flush: true }), { signal });
    await rename(partial, output);
  } catch (error) {
    await unlink(partial).catch(() => {});
    signal.throwIfAborted();
    if (error instanceof CommandFailure) throw error;
    throw new CommandFailure(`cannot write ${output}: ${(error as Error).message}`);
  } finally {
    progress.stop();
  }
  for (const { reference, digest, left } of plan.images) {
    around.out(`${reference} ${digest}\n`);
    if (left.length > 0) around.err(`${reference}: not cached whole, and left out: ${left.join(', ')}\n`);
  }
  around.err(
    `${output}: ${count(plan.blobs, 'blob')}, ${bytesText(plan.bytes)}${since ? ` more than ${since}` : ''}\n`,
  );
  return 0;
}

async function heldBy(bundle: string): Promise<string[]> {
  const held = new Set<string>();
  try {
    for await (const { path, body } of readTar(createReadStream(bundle))) {
      const small: Buffer[] = [];
      if (!path.startsWith('blobs/')) for await (const chunk of body) small.push(chunk);
      for (const digest of digestsOfMember(path, () => Buffer.concat(small))) held.add(digest);
      // Ours comes first and tells all.
      if (path === BUNDLE_FILE) break;
    }
  } catch (error) {
    throw new CommandFailure(`${bundle}: ${(error as Error).message}`);
  }
  if (held.size === 0) throw new CommandFailure(`${bundle}: this bundle holds no blobs`);
  return [...held];
}
