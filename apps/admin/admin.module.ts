import { type DynamicModule, Module } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import type { Stack } from '#stack';
import { DEPENDENCIES, HealthController } from './health.controller.js';

/** The admin port of every role: health. */
@Module({})
export class AdminModule {
  static for(stack: Stack): DynamicModule {
    return {
      module: AdminModule,
      imports: [TerminusModule.forRoot({ logger: false })],
      controllers: [HealthController],
      providers: [{ provide: DEPENDENCIES, useValue: stack.dependencies }],
    };
  }
}
