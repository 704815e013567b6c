import { once } from 'node:events';
import { createInterface } from 'node:readline/promises';
import type { z } from 'zod';
import type { PruneImage, PruneJob } from '../../admin/prune/models.js';
import { type AdminApi, CommandFailure } from '../api.js';
import { formatted, type OutputFormat } from '../output.js';
import { openProgress } from '../progress.js';
import type { Surroundings } from '../serve.js';
import { bytesText, count } from '../text.js';

export interface PruneOptions {
  /** As the admin API takes it. */
  readonly rule: {
    readonly pattern?: string;
    readonly olderThan?: string;
    readonly unusedFor?: string;
    readonly toSize?: string;
    readonly count?: number;
  };
  readonly dryRun: boolean;
  /** Without a question. */
  readonly yes: boolean;
  /** Even what leaves nothing. */
  readonly all: boolean;
  readonly output: OutputFormat;
}

type Job = z.output<typeof PruneJob>;
type Image = z.output<typeof PruneImage>;
type Counts = Job['removed'];

const POLL_MS = 200;
const WRONG_USAGE = 2;

/** Plans, shows what would go, asks where somebody can answer, then removes it. */
export async function pruneCommand(
  { rule, dryRun, yes, all, output }: PruneOptions,
  api: AdminApi,
  around: Surroundings,
  signal: AbortSignal,
): Promise<number> {
  const asks = !dryRun && !yes;
  if (asks && !around.input?.isTTY) {
    around.err('ociregistry: nobody can be asked here: give --yes to remove, or --dry-run to see what would go\n');
    return WRONG_USAGE;
  }
  if (!all && Object.keys(rule).length === 0)
    throw new CommandFailure('this would remove everything that is cached; say what is to go, or give --all');
  const plan = await api.json<Job>('POST', '/prune/plan', { body: rule, signal });
  try {
    const { planned } = plan;
    const forPeople = output === 'table' || output === 'wide';
    if (asks || (dryRun && forPeople)) await show(plan, api, around, signal);
    if (planned.protected > 0)
      around.err(
        `${count(planned.protected, 'image')} ${planned.protected === 1 ? 'stays' : 'stay'}: kept, pinned, or served within cache.protect\n`,
      );
    if (planned.above) around.err(`what stays is ${bytesText(planned.above)} larger than asked for\n`);
    const nothing = planned.images === 0 && planned.tags === 0;
    if (dryRun || nothing) {
      const text = nothing ? 'nothing to remove' : `would remove ${summary(planned)}`;
      around.out(formatted(plan, output, () => `${text}\n`));
      return 0;
    }
    if (planned.everything && rule.toSize === undefined && !all)
      throw new CommandFailure('this would leave nothing in the cache; if that is meant, give --all');
    if (asks && !(await agreed(`Remove ${summary(planned)}? [y/N] `, around, signal))) {
      around.err('nothing was removed\n');
      return 0;
    }
    const job = await carryOut(plan, all, api, around, signal);
    around.out(formatted(job, output, () => `removed ${summary(job.removed)}\n`));
    if (job.state !== 'done')
      throw new CommandFailure(`the prune was ${job.state}${job.error ? `: ${job.error}` : ''}`);
    return 0;
  } finally {
    // Of a plan that was carried out nothing is left to cancel.
    await api.json('DELETE', `/prune/${plan.id}`).catch(() => {});
  }
}

async function show(plan: Job, api: AdminApi, around: Surroundings, signal: AbortSignal): Promise<void> {
  for await (const { references } of api.items<Image>(`/prune/${plan.id}/images`, {}, signal))
    for (const reference of references) around.out(`${reference}\n`);
}

/** Resolves when the job has ended. */
async function carryOut(plan: Job, all: boolean, api: AdminApi, around: Surroundings, signal: AbortSignal) {
  const progress = openProgress(around.terminal, around.err);
  try {
    let job = await api.json<Job>('POST', `/prune/${plan.id}/apply`, { body: { all }, signal });
    while (job.state === 'running') {
      progress.show('pruning', job.removed.bytes, plan.planned.bytes);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      job = await api.json<Job>('GET', `/prune/${plan.id}`, { signal });
    }
    return job;
  } finally {
    progress.stop();
  }
}

/** Ctrl-C at the question interrupts like anywhere else; the end of the input (Ctrl-D) is a no. */
async function agreed(question: string, { input, terminal }: Surroundings, signal: AbortSignal): Promise<boolean> {
  // Not readline's own terminal, which takes Ctrl-C for a key.
  const asking = createInterface({ input: input!, ...(terminal ? { output: terminal } : {}), terminal: false });
  try {
    const ended = once(asking, 'close', { signal }).then(() => '');
    const answer = await Promise.race([asking.question(question, { signal }), ended]);
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    asking.close();
  }
}

function summary({ images, tags, manifests, blobs, bytes }: Counts): string {
  const parts = [count(images, 'image'), count(tags, 'tag'), count(manifests, 'manifest'), count(blobs, 'blob')];
  return `${parts.join(', ')}, ${bytesText(bytes)}`;
}
