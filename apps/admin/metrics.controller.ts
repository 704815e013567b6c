import { Controller, Get, Inject, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { Metrics } from '#telemetry';
import { Operation } from './api/openapi.js';

/** As much of Fastify's reply as is needed. */
interface Reply {
  type(mediaType: string): Reply;
  send(text: string): unknown;
}

/** For Prometheus; docs/metrics.md lists what is in it. */
@ApiTags('metrics')
@Controller('metrics')
export class MetricsController {
  constructor(@Inject(Metrics) private readonly metrics: Metrics) {}

  @Get()
  @Operation({ summary: 'What is measured, as Prometheus reads it', type: 'text/plain' })
  async scrape(@Res() reply: Reply): Promise<void> {
    const text = await this.metrics.text();
    reply.type(this.metrics.contentType).send(text);
  }
}
