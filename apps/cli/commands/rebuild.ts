import { setTimeout } from 'node:timers/promises';
import type { RebuildJob } from '#registry';
import { type AdminApi, CommandFailure } from '../api.js';
import { formatted, type OutputFormat } from '../output.js';
import { openProgress } from '../progress.js';
import type { Surroundings } from '../serve.js';
import { tookText } from '../text.js';

const POLL_MS = 300;

/** Waits for the end; 1 when something of the journal could not be read. Interrupted, it can be started anew. */
export async function rebuildCommand(
  output: OutputFormat,
  api: AdminApi,
  around: Surroundings,
  signal: AbortSignal,
): Promise<number> {
  let job = await api.json<RebuildJob>('POST', '/rebuild', { signal });
  const progress = openProgress(around.terminal, around.err);
  try {
    while (job.state === 'running') {
      await setTimeout(POLL_MS, undefined, { signal });
      job = await api.json<RebuildJob>('GET', '/rebuild', { signal });
      progress.show('segments of the journal', job.segmentsDone, job.segments, (amount) => amount.toFixed());
    }
  } catch (error) {
    if (signal.aborted) await api.json('DELETE', '/rebuild').catch(() => {});
    throw error;
  } finally {
    progress.stop();
  }
  for (const problem of job.problems) around.err(`${problem}\n`);
  around.out(formatted(job, output, () => textOf(job)));
  if (job.state !== 'done') throw new CommandFailure(job.error ?? `the rebuild was ${job.state}`);
  return job.problems.length > 0 ? 1 : 0;
}

function textOf({ manifests, tags, blobs, missing, segmentsDone, startedAt, finishedAt }: RebuildJob): string {
  const lost = missing === 0 ? '' : `; ${missing} blobs have no bytes and are fetched when they are asked for`;
  return `${manifests} manifests, ${tags} tags and ${blobs} blobs from ${segmentsDone} segments in ${tookText(startedAt, finishedAt)}${lost}\n`;
}
