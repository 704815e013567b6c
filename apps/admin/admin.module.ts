import { type DynamicModule, Module } from '@nestjs/common';
import { APP_FILTER, APP_GUARD } from '@nestjs/core';
import { TerminusModule } from '@nestjs/terminus';
import type { Config } from '#config';
import type { Log } from '#registry';
import type { Stack } from '#stack';
import { AccessGuard } from './api/access.js';
import { ContentController } from './api/content.controller.js';
import { type AdminPorts, PORTS } from './api/ports.js';
import { ProblemFilter } from './api/problem.js';
import { PullsController } from './api/pulls.controller.js';
import { ServerController } from './api/server.controller.js';
import { StatsController } from './api/stats.controller.js';
import { DEPENDENCIES, HealthController } from './health.controller.js';

/** The admin port of every role: health, REST. */
@Module({})
export class AdminModule {
  static for(config: Config, stack: Pick<Stack, 'catalog' | 'bus' | 'dependencies'>, log: Log): DynamicModule {
    return {
      module: AdminModule,
      imports: [TerminusModule.forRoot({ logger: false })],
      controllers: [HealthController, StatsController, ContentController, PullsController, ServerController],
      providers: [
        { provide: DEPENDENCIES, useValue: stack.dependencies },
        { provide: PORTS, useValue: { config, catalog: stack.catalog, bus: stack.bus } satisfies AdminPorts },
        { provide: APP_GUARD, useFactory: () => new AccessGuard(config.admin.token) },
        { provide: APP_FILTER, useFactory: () => new ProblemFilter(log) },
      ],
    };
  }
}
