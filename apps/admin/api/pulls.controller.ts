import { Controller, Get, Inject, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { Pull, page, Queue } from './models.js';
import { Operation, Valid } from './openapi.js';
import { type AdminPorts, PORTS } from './ports.js';
import { PullsQuery, pageOf } from './queries.js';
import { listed, pullView } from './views.js';

/** What is being fetched, and how it ended. */
@ApiTags('pulls')
@Controller('api/v1/pulls')
export class PullsController {
  constructor(@Inject(PORTS) private readonly ports: AdminPorts) {}

  @Get()
  @Operation({
    summary: 'Running and finished pulls, the newest change first',
    query: PullsQuery,
    answer: page(Pull).extend({ queue: Queue }),
  })
  async pulls(@Query(new Valid(PullsQuery)) query: z.output<typeof PullsQuery>) {
    const { state, upstream } = query;
    const wanted = pageOf<'changedAt'>(query, '-changedAt');
    const [pulls, queue] = await Promise.all([
      this.ports.catalog.inventory.pulls({ ...(state ? { state } : {}), ...(upstream ? { upstream } : {}) }, wanted),
      this.ports.bus.depth(),
    ]);
    return { ...listed(pulls, wanted, pullView), queue };
  }
}
