import { Body, Controller, Get, HttpCode, Inject, Param, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { canonicalHost, Failure } from '#oci';
import { Explanation, UpstreamState } from './models.js';
import { Operation, Valid } from './openapi.js';
import { type AdminPorts, PORTS } from './ports.js';
import { BadRequest } from './problem.js';

const LONGEST_PAUSE = 30 * 24 * 3600;

const ExplainQuery = z.strictObject({
  ref: z.string().min(1).max(600).meta({ description: 'Image reference, such as `docker.io/library/alpine:3`.' }),
});
const PauseBody = z.strictObject({
  seconds: z.int().min(1).max(LONGEST_PAUSE).meta({ description: 'How long its requests rest.' }),
});

/** How upstreams are, and what would be asked of them. */
@ApiTags('upstreams')
@Controller('api/v1')
export class UpstreamsController {
  constructor(@Inject(PORTS) private readonly ports: AdminPorts) {}

  @Get('explain')
  @Operation({
    summary: 'What a pull of a reference would meet with, and why; asks no upstream',
    query: ExplainQuery,
    answer: Explanation,
  })
  async explain(@Query(new Valid(ExplainQuery)) { ref }: z.output<typeof ExplainQuery>) {
    try {
      return await this.ports.explainer.explain(ref);
    } catch (error) {
      if (error instanceof Failure && error.status === 400) throw new BadRequest('ref', error.message);
      throw error;
    }
  }

  @Get('upstreams/states')
  @Operation({
    summary: 'Pauses, rate limits and failures of upstreams and mirrors, as all processes know them',
    answer: z.object({ items: z.array(UpstreamState) }),
  })
  async states() {
    return { items: await this.ports.upstreams.list() };
  }

  @Post('upstreams/:host/pause')
  @HttpCode(204)
  @Operation({
    summary: 'Let requests to an upstream rest; what is cached is served all the same',
    params: { host: 'Host of the upstream.' },
    body: PauseBody,
    status: 204,
    changes: true,
  })
  async pause(@Param('host') host: string, @Body(new Valid(PauseBody)) { seconds }: z.output<typeof PauseBody>) {
    await this.ports.upstreams.pause(named(host), seconds * 1000);
  }

  @Post('upstreams/:host/resume')
  @HttpCode(204)
  @Operation({
    summary: 'End every pause of an upstream',
    params: { host: 'Host of the upstream.' },
    status: 204,
    changes: true,
  })
  async resume(@Param('host') host: string) {
    await this.ports.upstreams.resume(named(host));
  }
}

function named(host: string): string {
  const canonical = canonicalHost(host);
  if (canonical === undefined) throw new BadRequest('host', 'expected host or host:port');
  return canonical;
}
