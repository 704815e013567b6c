import { type DynamicModule, Module } from '@nestjs/common';
import { APP_FILTER, APP_GUARD } from '@nestjs/core';
import { TerminusModule } from '@nestjs/terminus';
import type { Config } from '#config';
import { Explainer, type Log } from '#registry';
import type { Stack } from '#stack';
import { type About, Metrics } from '#telemetry';
import { sourceRules } from '../gateway/source-rules.js';
import { tagRules } from '../gateway/tag-rules.js';
import { AccessGuard } from './api/access.js';
import { ContentController } from './api/content.controller.js';
import { type AdminPorts, PORTS } from './api/ports.js';
import { ProblemFilter } from './api/problem.js';
import { PullFeed } from './api/pull-feed.js';
import { PullsController } from './api/pulls.controller.js';
import { ServerController } from './api/server.controller.js';
import { StatsController } from './api/stats.controller.js';
import { UpstreamsController } from './api/upstreams.controller.js';
import { DEPENDENCIES, HealthController } from './health.controller.js';
import { MetricsController } from './metrics.controller.js';
import { HOOK_SOURCES } from './watch/payloads.js';

/** The admin port of every role: health, metrics, REST. */
@Module({})
export class AdminModule {
  static for(
    config: Config,
    stack: Pick<
      Stack,
      'catalog' | 'bus' | 'dependencies' | 'upstreams' | 'upstream' | 'traffic' | 'pulls' | 'transfers' | 'pool'
    >,
    log: Log,
    about: About,
  ): DynamicModule {
    const { catalog, bus, upstreams } = stack;
    const explainer = new Explainer(
      { catalog, upstreams },
      { sources: sourceRules(config, stack), airGapped: config.airGapped, tagRule: tagRules(config) },
    );
    return {
      module: AdminModule,
      imports: [TerminusModule.forRoot({ logger: false })],
      controllers: [
        HealthController,
        MetricsController,
        StatsController,
        ContentController,
        PullsController,
        ServerController,
        UpstreamsController,
      ],
      providers: [
        { provide: DEPENDENCIES, useValue: stack.dependencies },
        { provide: PORTS, useValue: { config, catalog, bus, upstreams, explainer } satisfies AdminPorts },
        { provide: PullFeed, useFactory: () => new PullFeed(catalog, bus, log) },
        { provide: Metrics, useFactory: () => new Metrics({ ...stack, about }) },
        {
          provide: APP_GUARD,
          useFactory: () =>
            new AccessGuard(
              config.admin.token,
              new Set(HOOK_SOURCES.filter((source) => config.hooks[source].secret !== undefined)),
            ),
        },
        { provide: APP_FILTER, useFactory: () => new ProblemFilter(log) },
      ],
    };
  }
}
