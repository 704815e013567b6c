import type { z } from 'zod';
import { type PruneItem, type PruneJob, type PruneRule, parsePatterns } from '#catalog';
import { formatRepository } from '#oci';

import { BadRequest } from '../api/problem.js';
import { sizeOf, timeOf } from '../api/queries.js';
import type * as models from './models.js';

/** What a request asks for; throws `BadRequest` naming the parameter. */
export function ruleOf({ pattern, unusedFor, olderThan, toSize, count }: z.output<typeof models.PruneRule>): PruneRule {
  const patterns = pattern === undefined ? undefined : parsePatterns(pattern);
  if (patterns?.length === 0) throw new BadRequest('pattern', 'no pattern given');
  const rule = {
    patterns,
    accessedBefore: timeOf('unusedFor', unusedFor),
    storedBefore: timeOf('olderThan', olderThan),
    toSize: sizeOf('toSize', toSize === undefined ? undefined : String(toSize)),
    count,
  };
  return Object.fromEntries(Object.entries(rule).filter(([, value]) => value !== undefined));
}

export function jobView(job: PruneJob): z.output<typeof models.PruneJob> {
  const { accessedBefore, storedBefore, patterns, ...rule } = job.rule;
  return {
    id: job.id,
    cause: job.cause,
    state: job.state,
    rule: {
      ...rule,
      ...(patterns ? { patterns: [...patterns] } : {}),
      ...(accessedBefore ? { accessedBefore: accessedBefore.toISOString() } : {}),
      ...(storedBefore ? { storedBefore: storedBefore.toISOString() } : {}),
    },
    createdAt: job.createdAt.toISOString(),
    ...(job.finishedAt ? { finishedAt: job.finishedAt.toISOString() } : {}),
    planned: job.planned,
    removed: job.removed,
    ...(job.error === undefined ? {} : { error: job.error }),
  };
}

export function imageView({
  repository,
  digest,
  tags,
  whole,
  lastAccess,
}: PruneItem): z.output<typeof models.PruneImage> {
  const name = formatRepository(repository);
  return {
    references: tags.length > 0 ? tags.map((tag) => `${name}:${tag}`) : [`${name}@${digest}`],
    digest,
    whole,
    lastAccess: lastAccess.toISOString(),
  };
}
