import {
  BadRequestException,
  Body,
  Controller,
  Delete,
  Get,
  HttpCode,
  Inject,
  NotFoundException,
  Param,
  Post,
} from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { Preloader, type PreloadJob } from '#registry';
import { FailureInfo, time } from '../api/models.js';
import { Operation } from '../api/openapi.js';
import { choosePlatforms } from '../platforms.js';

const bodySchema = z.strictObject({
  /** References, or the text of a list file. */
  images: z.union([z.array(z.string().max(4096)).max(10_000), z.string().max(1_000_000)]),
  /** `os/architecture[/variant]`, or `all`; the server's own by default. */
  platforms: z.array(z.string()).max(20).optional(),
});

const state = z.enum(['running', 'done', 'failed', 'cancelled']);
const bytes = z.int().min(0).meta({ description: 'Bytes.' });
const jobFields = {
  id: z.string(),
  state,
  startedAt: time,
  finishedAt: time.optional(),
};
const JobView = z.object({
  ...jobFields,
  images: z.array(
    z.object({
      reference: z.string().meta({ description: 'In full, or as it was given where it is none.' }),
      line: z.int(),
      state: z.enum(['queued', 'running', 'done', 'failed', 'cancelled']),
      digest: z.string().optional(),
      objects: z.int().meta({ description: 'Manifests, configs and layers.' }),
      objectsDone: z.int(),
      pulled: z.int().meta({ description: 'Of those that are done, how many had to be pulled.' }),
      bytes,
      bytesDone: bytes,
      matches: z.int().optional().meta({ description: 'Of a glob: tags that match, which follow as images.' }),
      failure: FailureInfo.optional(),
    }),
  ),
});
const JobListView = z.object({
  items: z.array(z.object({ ...jobFields, images: z.int().meta({ description: 'How many.' }) })),
  next: z.null(),
});

/** Starts, shows and cancels the loading of images ahead of clients. */
@ApiTags('preload')
@Controller('api/v1/preload')
export class PreloadController {
  constructor(@Inject(Preloader) private readonly preloader: Preloader) {}

  @Post()
  @HttpCode(202)
  @Operation({
    summary: 'Load images behind every client, through the pull queue',
    description: 'A bad line or a failing image fails by itself. What is here already is not pulled again.',
    body: bodySchema,
    answer: JobView,
    status: 202,
    changes: true,
  })
  start(@Body() body: unknown): PreloadJob {
    const parsed = bodySchema.safeParse(body);
    if (!parsed.success) throw new BadRequestException(z.prettifyError(parsed.error));
    const { images, platforms = [] } = parsed.data;
    const chosen = choosePlatforms(platforms);
    return this.preloader.start({
      list: typeof images === 'string' ? images : images.join('\n'),
      ...(chosen ? { platforms: chosen } : {}),
    });
  }

  /** Latest first; the images of a job stand in the job itself. */
  @Get()
  @Operation({ summary: 'Loads of this process, the latest first', answer: JobListView })
  list() {
    const items = this.preloader.list().map(({ images, ...job }) => ({ ...job, images: images.length }));
    return { items, next: null };
  }

  @Get(':id')
  @Operation({ summary: 'One load, image by image', params: { id: 'Its id.' }, answer: JobView })
  find(@Param('id') id: string): PreloadJob {
    return found(this.preloader.find(id));
  }

  @Delete(':id')
  @Operation({ summary: 'Ask for nothing more', params: { id: 'Its id.' }, answer: JobView, changes: true })
  async cancel(@Param('id') id: string): Promise<PreloadJob> {
    return found(await this.preloader.cancel(id));
  }
}

function found(job: PreloadJob | undefined): PreloadJob {
  if (!job) throw new NotFoundException('no such preload; only the latest are remembered');
  return job;
}
