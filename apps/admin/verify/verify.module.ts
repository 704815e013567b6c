import { type DynamicModule, Module } from '@nestjs/common';
import type { Config } from '#config';
import { type Log, PullWaits, Verifier } from '#registry';
import type { Stack } from '#stack';
import { VERIFY_DEFAULTS, VerifyController } from './verify.controller.js';
import { VerifyService } from './verify.service.js';

/** Without a sign of life from a puller; background work may queue for long. */
const TIMEOUT_MS = 10 * 60_000;
const ROW_POLL_MS = 2000;
const DAY_MS = 24 * 3_600_000;

/** Checking what is stored: a use-case of the admin role; pullers fetch what has to be fetched anew. */
@Module({})
export class VerifyModule {
  static for(config: Config, stack: Stack, log: Log): DynamicModule {
    const { catalog, blobs, bus, relays } = stack;
    return {
      module: VerifyModule,
      controllers: [VerifyController],
      providers: [
        {
          provide: Verifier,
          useFactory: () =>
            new Verifier(
              {
                catalog,
                blobs,
                bus,
                log,
                waits: new PullWaits(bus, catalog.pulls, relays, log, {
                  timeout: TIMEOUT_MS,
                  poll: ROW_POLL_MS,
                  busPatience: TIMEOUT_MS,
                }),
              },
              {
                holder: `${process.pid}`,
                orphanAge: DAY_MS,
                airGapped: config.airGapped,
                tries: 3,
                firstPause: 1000,
              },
            ),
        },
        { provide: VERIFY_DEFAULTS, useValue: config.verify },
        {
          provide: VerifyService,
          inject: [Verifier],
          useFactory: (verifier: Verifier) => new VerifyService(verifier, config.verify, stack.ready, log),
        },
      ],
      exports: [VerifyService],
    };
  }
}
