import { Controller, Get, Inject } from '@nestjs/common';
import { HealthCheck, HealthCheckService, HealthIndicatorService } from '@nestjs/terminus';
import { within } from '#async';
import type { Dependency } from '#stack';

export const DEPENDENCIES = Symbol('dependencies');
const CHECK_MS = 3000;

/** Liveness says that the process runs; readiness names every dependency and how it is. */
@Controller('health')
export class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly indicators: HealthIndicatorService,
    @Inject(DEPENDENCIES) private readonly dependencies: readonly Dependency[],
  ) {}

  @Get('live')
  @HealthCheck()
  live() {
    return this.health.check([]);
  }

  @Get(['', 'ready'])
  @HealthCheck()
  ready() {
    return this.health.check(
      this.dependencies.map(({ name, check }) => async () => {
        const indicator = this.indicators.check(name);
        try {
          await within(CHECK_MS, check(), () => new Error('no answer in time'));
          return indicator.up();
        } catch (error) {
          return indicator.down({ message: error instanceof Error ? error.message : String(error) });
        }
      }),
    );
  }
}
