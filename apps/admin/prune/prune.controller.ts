import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import type { PruneJob as Job } from '#catalog';
import { Pruner } from '#registry';
import { page } from '../api/models.js';
import { Operation, Valid } from '../api/openapi.js';
import { BadRequest, Refusal } from '../api/problem.js';
import { PruneImage, PruneJob, PruneRule } from './models.js';
import { imageView, jobView, ruleOf } from './views.js';

const id = { id: 'Of the job.' };
const all = z.boolean().default(false).meta({ description: 'Carry out even what leaves nothing.' });
const ApplyBody = z.strictObject({ all });
const StartBody = z.strictObject({ ...PruneRule.shape, all });
const Paging = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1000).default(100).meta({ description: 'Items of one page.' }),
  cursor: z
    .string()
    .regex(/^\d{1,18}$/, 'not a cursor of this list')
    .optional()
    .meta({ description: '`next` of the page before.' }),
});
type Paged = z.output<typeof Paging>;

/** What leaves the cache: always planned first, then carried out as a job. */
@ApiTags('prune')
@Controller('api/v1/prune')
export class PruneController {
  constructor(@Inject(Pruner) private readonly pruner: Pruner) {}

  @Post('plan')
  @HttpCode(200)
  @Operation({
    summary: 'What would go; removes nothing',
    description: 'The plan is remembered and may be carried out later: what is used until then stays.',
    body: PruneRule,
    answer: PruneJob,
    changes: true,
  })
  async plan(@Body(new Valid(PruneRule)) rule: z.output<typeof PruneRule>) {
    return jobView(await this.pruner.plan(ruleOf(rule), 'request'));
  }

  @Post()
  @HttpCode(202)
  @Operation({
    summary: 'Plan, and carry the plan out',
    body: StartBody,
    answer: PruneJob,
    status: 202,
    changes: true,
  })
  async start(@Body(new Valid(StartBody)) { all, ...rule }: z.output<typeof StartBody>) {
    const job = await this.pruner.plan(ruleOf(rule), 'request');
    try {
      return await this.carryOut(job, all);
    } catch (error) {
      await this.pruner.jobs.turn(job.id, 'cancelled');
      throw error;
    }
  }

  @Post(':id/apply')
  @HttpCode(202)
  @Operation({
    summary: 'Carry a plan out',
    params: id,
    body: ApplyBody,
    answer: PruneJob,
    status: 202,
    changes: true,
  })
  async apply(@Param('id') job: string, @Body(new Valid(ApplyBody)) { all }: z.output<typeof ApplyBody>) {
    return this.carryOut(await this.found(job), all);
  }

  @Get()
  @Operation({ summary: 'Plans and jobs, the latest first', query: Paging, answer: page(PruneJob) })
  async list(@Query(new Valid(Paging)) { limit, cursor }: Paged) {
    const jobs = await this.pruner.jobs.list(limit + 1, cursor);
    const shown = jobs.slice(0, limit);
    return { items: shown.map(jobView), ...(jobs.length > limit ? { next: shown.at(-1)!.id } : {}) };
  }

  @Get(':id')
  @Operation({ summary: 'A plan or job, and how far it is', params: id, answer: PruneJob })
  async find(@Param('id') job: string) {
    return jobView(await this.found(job));
  }

  @Get(':id/images')
  @Operation({
    summary: 'The images of a plan that have not gone yet',
    params: id,
    query: Paging,
    answer: page(PruneImage),
  })
  async images(@Param('id') job: string, @Query(new Valid(Paging)) { limit, cursor }: Paged) {
    const { items, next } = await this.pruner.jobs.items((await this.found(job)).id, limit, cursor);
    return { items: items.map(imageView), ...(next === undefined ? {} : { next }) };
  }

  @Delete(':id')
  @Operation({
    summary: 'Stop a job, or drop a plan; what has gone is gone',
    params: id,
    answer: PruneJob,
    changes: true,
  })
  async cancel(@Param('id') job: string) {
    await this.found(job);
    await this.pruner.jobs.turn(job, 'cancelled');
    return jobView(await this.found(job));
  }

  private async carryOut(job: Job, all: boolean) {
    if (job.planned.everything && job.rule.toSize === undefined && !all)
      throw new BadRequest('all', 'this would leave nothing in the cache; confirm it with all');
    const outcome = await this.pruner.start(job.id);
    if (outcome === 'busy') throw new Refusal(409, 'another prune is running', { 'retry-after': '5' });
    if (outcome === 'over') throw new Refusal(409, 'this plan has been carried out or cancelled');
    return jobView(await this.found(job.id));
  }

  private async found(job: string): Promise<Job> {
    const found = await this.pruner.jobs.find(job);
    if (!found) throw new Refusal(404, 'no such plan or job');
    return found;
  }
}
