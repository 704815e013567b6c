import { Controller, Get, Inject } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { formatReference } from '#oci';
import { Watcher, type WatchState } from '#registry';
import { Operation } from '../api/openapi.js';

const time = z.iso.datetime();
const Watched = z.object({
  reference: z.string(),
  every: z.int().meta({ description: 'Milliseconds.' }),
  state: z.enum(['watched', 'pinned', 'air-gapped']).meta({ description: '`pinned`, `air-gapped`: nobody asks.' }),
  digest: z.string().optional().meta({ description: 'What the tag names, where anything of it is cached.' }),
  checkedAt: time.optional().meta({ description: 'When the upstream confirmed it last, whoever asked.' }),
  dueAt: time.optional().meta({ description: 'When it is asked next.' }),
  failure: z
    .object({ reason: z.string(), message: z.string() })
    .optional()
    .meta({ description: 'Of the last pull of the tag.' }),
});

/** Tags that are fetched when they move. */
@ApiTags('watch')
@Controller('api/v1/watch')
export class WatchController {
  constructor(@Inject(Watcher) private readonly watcher: Watcher) {}

  @Get()
  @Operation({
    summary: 'Tags that are watched, as the configuration names them',
    answer: z.object({ items: z.array(Watched) }),
  })
  async list() {
    const now = Date.now();
    return { items: (await this.watcher.states()).map((state) => view(state, now)) };
  }
}

function view({ reference, every, digest, age, resting, failure }: WatchState, now: number): z.output<typeof Watched> {
  const checked = age === undefined ? undefined : now - age;
  return {
    reference: formatReference(reference),
    every,
    state: resting ?? 'watched',
    ...(digest === undefined ? {} : { digest }),
    ...(checked === undefined ? {} : { checkedAt: new Date(checked).toISOString() }),
    ...(resting ? {} : { dueAt: new Date(Math.max(now, (checked ?? 0) + every)).toISOString() }),
    ...(failure ? { failure: { reason: failure.reason, message: failure.message } } : {}),
  };
}
