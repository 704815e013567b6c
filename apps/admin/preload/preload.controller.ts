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
import { z } from 'zod';
import { Preloader, type PreloadJob } from '#registry';
import { choosePlatforms } from '../platforms.js';

const bodySchema = z.strictObject({
  /** References, or the text of a list file. */
  images: z.union([z.array(z.string().max(4096)).max(10_000), z.string().max(1_000_000)]),
  /** `os/architecture[/variant]`, or `all`; the server's own by default. */
  platforms: z.array(z.string()).max(20).optional(),
});

/** Starts, shows and cancels the loading of images ahead of clients. */
@Controller('api/v1/preload')
export class PreloadController {
  constructor(@Inject(Preloader) private readonly preloader: Preloader) {}

  @Post()
  @HttpCode(202)
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
  list() {
    const items = this.preloader.list().map(({ images, ...job }) => ({ ...job, images: images.length }));
    return { items, next: null };
  }

  @Get(':id')
  find(@Param('id') id: string): PreloadJob {
    return found(this.preloader.find(id));
  }

  @Delete(':id')
  async cancel(@Param('id') id: string): Promise<PreloadJob> {
    return found(await this.preloader.cancel(id));
  }
}

function found(job: PreloadJob | undefined): PreloadJob {
  if (!job) throw new NotFoundException('no such preload; only the latest are remembered');
  return job;
}
