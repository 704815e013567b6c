import { type DynamicModule, Module } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { Config } from '#config';
import type { Log } from '#registry';
import type { Stack } from '#stack';
import { ExchangeController } from './exchange.controller.js';
import { EXCHANGE, Exchange } from './exchange.js';

/** Archives of images in and out of the cache. */
@Module({})
export class ExchangeModule {
  static for(config: Config, stack: Stack, log: Log): DynamicModule {
    return {
      module: ExchangeModule,
      controllers: [ExchangeController],
      providers: [
        {
          provide: EXCHANGE,
          inject: [HttpAdapterHost],
          useFactory: (http: HttpAdapterHost) => new Exchange(config, stack, log, http),
        },
      ],
    };
  }
}
