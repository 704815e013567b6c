import { Controller, Get, Inject } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { maskSecrets } from '#config';
import { Upstream } from './models.js';
import { Operation } from './openapi.js';
import { type AdminPorts, PORTS } from './ports.js';

/** The server itself. */
@ApiTags('server')
@Controller('api/v1')
export class ServerController {
  constructor(@Inject(PORTS) private readonly ports: AdminPorts) {}

  @Get('config')
  @Operation({
    summary: 'The configuration in force, secrets masked',
    description: 'Durations are milliseconds, sizes bytes.',
    answer: z.record(z.string(), z.unknown()),
  })
  shownConfig(): unknown {
    return maskSecrets(this.ports.config);
  }

  @Get('upstreams')
  @Operation({
    summary: 'Registries that are configured or that content came from',
    answer: z.object({ items: z.array(Upstream) }),
  })
  async upstreams(): Promise<{ items: z.output<typeof Upstream>[] }> {
    const totals = await this.ports.catalog.inventory.totals();
    const names = new Set([
      ...this.ports.config.registries.map(({ name }) => name),
      ...totals.map(({ upstream }) => upstream),
    ]);
    return {
      items: [...names].sort().map((upstream) => ({
        upstream,
        configured: this.ports.config.registries.some(({ name }) => name === upstream),
        repositories: 0,
        tags: 0,
        manifests: 0,
        ...totals.find((total) => total.upstream === upstream),
      })),
    };
  }
}
