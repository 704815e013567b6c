import { randomUUID } from 'node:crypto';
import { type DynamicModule, Module } from '@nestjs/common';
import { parsePatterns } from '#catalog';
import type { Config } from '#config';
import { type Log, Pruner } from '#registry';
import type { Stack } from '#stack';
import { pinExpressions } from '../../gateway/tag-rules.js';
import { KeepingService } from './keeping.service.js';
import { PruneController } from './prune.controller.js';

/** Gateways write access times this late: once a minute for each content, a few seconds after the access. */
const LATE_MS = 70_000;

/** What leaves the cache, on request and by itself. */
@Module({})
export class PruneModule {
  /** `keeping`: work by schedule too, and not only on request. */
  static for(
    config: Config,
    { catalog, blobs, bus, ready }: Pick<Stack, 'catalog' | 'blobs' | 'bus' | 'ready'>,
    log: Log,
    keeping: boolean,
  ): DynamicModule {
    const { protect, keep } = config.cache;
    const protection = {
      servedWithin: protect + Math.min(protect, LATE_MS),
      keep: keep.flatMap(parsePatterns),
      pins: pinExpressions(config),
    };
    const pruner = new Pruner({ catalog, blobs, bus, log }, { worker: randomUUID(), protection });
    return {
      module: PruneModule,
      controllers: [PruneController],
      providers: [
        { provide: Pruner, useFactory: () => pruner },
        {
          provide: KeepingService,
          useFactory: () => new KeepingService({ catalog, pruner, log }, config, keeping ? ready : undefined),
        },
      ],
      exports: [KeepingService],
    };
  }
}
