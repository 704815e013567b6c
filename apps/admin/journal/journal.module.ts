import { type DynamicModule, Module } from '@nestjs/common';
import type { Config } from '#config';
import { JournalKeeper, type Log } from '#registry';
import type { Stack } from '#stack';
import { JournalService } from './journal.service.js';
import { RebuildController } from './rebuild.controller.js';

/** The journal beside the blobs, and the catalog made anew from it. */
@Module({})
export class JournalModule {
  static for(config: Config, stack: Stack, log: Log): DynamicModule {
    const { catalog, blobs, notes, bus } = stack;
    return {
      module: JournalModule,
      controllers: [RebuildController],
      providers: [
        {
          provide: JournalKeeper,
          useFactory: () =>
            new JournalKeeper({ catalog, blobs, notes, bus, log }, `${process.pid}`, config.journal.every),
        },
        {
          provide: JournalService,
          inject: [JournalKeeper],
          useFactory: (keeper: JournalKeeper) => new JournalService(keeper, stack.ready),
        },
      ],
      exports: [JournalService],
    };
  }
}
