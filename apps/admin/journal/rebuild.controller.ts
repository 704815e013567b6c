import { Controller, Delete, Get, HttpCode, NotFoundException, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { JournalKeeper, type RebuildJob } from '#registry';
import { time } from '../api/models.js';
import { Operation } from '../api/openapi.js';

const RebuildView = z.object({
  state: z.enum(['running', 'done', 'failed', 'cancelled']),
  startedAt: time,
  finishedAt: time.optional(),
  segments: z.int().meta({ description: 'Of the journal.' }),
  segmentsDone: z.int(),
  manifests: z.int(),
  tags: z.int(),
  blobs: z.int(),
  missing: z.int().meta({ description: 'Blobs without bytes; they are fetched when they are asked for.' }),
  problems: z.array(z.string()).meta({ description: 'What could not be read; the journal is then kept.' }),
  error: z.string().optional(),
});

/** The catalog from the journal beside the blobs. */
@ApiTags('rebuild')
@Controller('api/v1/rebuild')
export class RebuildController {
  constructor(private readonly keeper: JournalKeeper) {}

  @Post()
  @HttpCode(202)
  @Operation({
    summary: 'Tell the catalog all that the journal beside the blobs knows; what it knows itself stays',
    answer: RebuildView,
    status: 202,
    changes: true,
  })
  start(): Promise<RebuildJob> {
    return this.keeper.rebuild();
  }

  @Get()
  @Operation({ summary: 'The rebuild that runs, or the last one of this process', answer: RebuildView })
  find(): RebuildJob {
    return found(this.keeper.last());
  }

  @Delete()
  @Operation({ summary: 'Stop it; it can be started anew', answer: RebuildView, changes: true })
  async cancel(): Promise<RebuildJob> {
    return found(await this.keeper.cancel());
  }
}

function found(job: RebuildJob | undefined): RebuildJob {
  if (!job) throw new NotFoundException('nothing was rebuilt');
  return job;
}
