import { type DynamicModule, Module } from '@nestjs/common';
import type { Config } from '#config';
import { parsePlatform } from '#oci';
import { type Log, Preloader, PullWaits } from '#registry';
import type { Stack } from '#stack';
import { PreloadController } from './preload.controller.js';
import { PreloadService } from './preload.service.js';

/** Without a sign of life from a puller; background work may queue for long. */
const TIMEOUT_MS = 10 * 60_000;
const ROW_POLL_MS = 2000;

/** Loading ahead of clients: a use-case of the admin role, done by the pullers. */
@Module({})
export class PreloadModule {
  static for(config: Config, stack: Stack, log: Log): DynamicModule {
    const { catalog, bus, relays, upstream } = stack;
    return {
      module: PreloadModule,
      controllers: [PreloadController],
      providers: [
        {
          provide: Preloader,
          useFactory: () =>
            new Preloader(
              {
                catalog,
                log,
                waits: new PullWaits(bus, catalog.pulls, relays, log, {
                  timeout: TIMEOUT_MS,
                  poll: ROW_POLL_MS,
                  busPatience: TIMEOUT_MS,
                }),
                allows: (host) => upstream.allows(host),
              },
              {
                images: 4,
                objects: 4,
                tries: 4,
                firstPause: 1000,
                airGapped: config.airGapped,
                defaultNs: config.defaultNs,
                platforms: [
                  parsePlatform(`${config.os}/${config.arch}`) ?? { os: config.os, architecture: config.arch },
                ],
              },
            ),
        },
        {
          provide: PreloadService,
          inject: [Preloader],
          useFactory: (preloader: Preloader) => new PreloadService(preloader, config, stack.ready, log),
        },
      ],
      exports: [PreloadService],
    };
  }
}
