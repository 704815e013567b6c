import { Controller, Get, Inject } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { Stats } from './models.js';
import { Operation } from './openapi.js';
import { type AdminPorts, PORTS } from './ports.js';

@ApiTags('stats')
@Controller('api/v1/stats')
export class StatsController {
  constructor(@Inject(PORTS) private readonly ports: AdminPorts) {}

  @Get()
  @Operation({ summary: 'Sizes and counts', answer: Stats })
  async stats(): Promise<z.output<typeof Stats>> {
    const [content, queue] = await Promise.all([this.ports.catalog.counts(), this.ports.bus.depth()]);
    return { content, queue };
  }
}
