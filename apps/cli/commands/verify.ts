import { setTimeout } from 'node:timers/promises';
import type { VerifyJob } from '#registry';
import { type AdminApi, CommandFailure } from '../api.js';
import { formatted, type OutputFormat } from '../output.js';
import { openProgress } from '../progress.js';
import type { Surroundings } from '../serve.js';
import { bytesText, tookText } from '../text.js';

export interface VerifyOptions {
  readonly image?: string | undefined;
  readonly pattern?: string | undefined;
  readonly sizesOnly?: boolean | undefined;
  readonly repair?: boolean | undefined;
  readonly rate?: string | undefined;
  readonly output: OutputFormat;
}

const POLL_MS = 300;

/** Waits for the end; 1 when something is bad and was not repaired. Interrupted, the server stops it. */
export async function verifyCommand(
  { output, ...request }: VerifyOptions,
  api: AdminApi,
  around: Surroundings,
  signal: AbortSignal,
): Promise<number> {
  let job = await api.json<VerifyJob>('POST', '/verify', { body: request, signal });
  const progress = openProgress(around.terminal, around.err);
  try {
    while (job.state === 'running') {
      await setTimeout(POLL_MS, undefined, { signal });
      job = await api.json<VerifyJob>('GET', `/verify/${job.id}`, { signal });
      progress.show('verify', job.bytes, job.total?.bytes ?? 0);
    }
  } catch (error) {
    if (signal.aborted) await api.json('DELETE', `/verify/${job.id}`).catch(() => {});
    throw error;
  } finally {
    progress.stop();
  }
  for (const { kind, digest, problem, outcome, reason } of job.problems) {
    const what = { missing: 'no bytes', size: 'wrong size', bytes: 'wrong bytes' }[problem];
    around.err(`${kind} ${digest}: ${what}${told(outcome, reason)}\n`);
  }
  around.out(formatted(job, output, () => textOf(job)));
  if (job.state !== 'done') throw new CommandFailure(job.error ?? `the verification was ${job.state}`);
  return job.bad > job.repaired ? 1 : 0;
}

function told(outcome: VerifyJob['problems'][number]['outcome'], reason: string | undefined): string {
  if (outcome === 'repaired') return ', fetched anew';
  return outcome === 'dropped' ? `, dropped and not fetched: ${reason}` : '';
}

function textOf({ objects, bytes, bad, repaired, orphans, startedAt, finishedAt }: VerifyJob): string {
  const found = bad === 0 ? 'all well' : `${bad} bad${repaired > 0 ? `, ${repaired} of them repaired` : ''}`;
  const lines = [
    `${objects} objects, ${bytesText(bytes)} checked in ${tookText(startedAt, finishedAt)}: ${found}`,
    ...(orphans.blobs > 0
      ? [
          `${orphans.blobs} stored blobs that nothing refers to, ${bytesText(orphans.bytes)}, ${orphans.removed} removed`,
        ]
      : []),
  ];
  return lines.map((line) => `${line}\n`).join('');
}
