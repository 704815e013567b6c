import {
  Controller,
  Delete,
  Get,
  Inject,
  type MessageEvent,
  NotFoundException,
  Param,
  Query,
  Sse,
} from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { Observable } from 'rxjs';
import { z } from 'zod';
import { cancelPull, leaseKey } from '#registry';
import { CancelledPull, Pull, PullEvents, page, Queue, QueuedPull } from './models.js';
import { Operation, Valid } from './openapi.js';
import { type AdminPorts, PORTS } from './ports.js';
import { PullFeed } from './pull-feed.js';
import { PullsQuery, pageOf, QueuedQuery } from './queries.js';
import { listed, queuedView } from './views.js';

/** What is being fetched, and how it ended. */
@ApiTags('pulls')
@Controller('api/v1/pulls')
export class PullsController {
  constructor(
    @Inject(PORTS) private readonly ports: AdminPorts,
    @Inject(PullFeed) private readonly feed: PullFeed,
  ) {}

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
    return { ...listed(pulls, wanted, (pull) => this.feed.view(pull)), queue };
  }

  @Get('queued')
  @Operation({
    summary: 'Pulls that wait for a worker, interactive ones first',
    query: QueuedQuery,
    answer: z.object({ items: z.array(QueuedPull) }),
  })
  async queued(@Query(new Valid(QueuedQuery)) { limit }: z.output<typeof QueuedQuery>) {
    const { bus, catalog } = this.ports;
    const [queued, running] = await Promise.all([
      bus.queued(limit),
      catalog.inventory.pulls({ state: 'running' }, pageOf<'changedAt'>({ limit: 1000 }, '-changedAt')),
    ]);
    const held = new Set(running.items.map(({ key }) => key));
    return { items: queued.filter(({ target }) => !held.has(leaseKey(target))).map(queuedView) };
  }

  @Sse('events')
  @Operation({
    summary: 'What runs and what has ended, as server-sent events named `pulls`, when it changes',
    answer: PullEvents,
    type: 'text/event-stream',
  })
  events(): Observable<MessageEvent> {
    return this.feed.events();
  }

  @Delete(':key')
  @Operation({
    summary: 'End a running pull, or take a queued one out of the queue; who waits for it is answered 503',
    params: { key: '`key` of a pull.' },
    answer: CancelledPull,
    changes: true,
  })
  async cancel(@Param('key') key: string) {
    const { bus, catalog } = this.ports;
    const was = await cancelPull(key, { bus, pulls: catalog.pulls });
    if (was === undefined) throw new NotFoundException('no such pull is running or queued');
    return { was };
  }
}
