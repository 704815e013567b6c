import { randomUUID } from 'node:crypto';
import { type DynamicModule, Module } from '@nestjs/common';
import type { Config } from '#config';
import { canonicalHost } from '#oci';
import {
  type ContentRule,
  ContentRules,
  DOWNLOAD_DEFAULTS,
  type DownloadOptions,
  type FactCache,
  type Log,
  PullWorker,
  signalProgress,
} from '#registry';
import { RelayServer } from '#relay';
import type { Stack } from '#stack';
import { meterRelay } from '#telemetry';
import { PullController } from './pull.controller.js';
import { SpoolSweeper, type SweepBounds } from './spool-sweeper.js';

const ATTEMPTS = 10;
const HOUR = 3_600_000;
const SWEEP: Omit<SweepBounds, 'atStart'> = { idle: HOUR, uploads: 24 * HOUR, every: HOUR };
const PROGRESS_MS = 1000;
/** Ends the telling of progress. */
const PROGRESS = Symbol('progress');

/** Workers: claim, fetch, verify, store, relay. No public API. */
@Module({})
export class PullerModule {
  /**
   * `relayUrl` is asked late: the relay's port may be known only once it listens. `facts`: of a gateway in this process.
   */
  static for(
    config: Config,
    stack: Stack,
    { relayUrl, facts }: { relayUrl: () => string; facts: FactCache | undefined },
    log: Log,
  ): DynamicModule {
    return {
      module: PullerModule,
      controllers: [PullController],
      providers: [
        {
          provide: PullWorker,
          useFactory: () =>
            new PullWorker(
              { ...stack, content: contentRules(config), log, events: stack.pulls, ...(facts ? { facts } : {}) },
              {
                worker: randomUUID(),
                lease: config.pulls.lease,
                attempts: ATTEMPTS,
                get relayUrl() {
                  return relayUrl();
                },
                download: downloads(config),
                prefetch: config.prefetch,
                unreadFor: config.pulls.unreadFor,
                // A little earlier than those who wait give up: they are told why.
                firstByteWithin: config.pullTimeout * 0.9,
              },
            ),
        },
        {
          provide: PROGRESS,
          useFactory: () => ({ onModuleDestroy: signalProgress(stack.transfers, stack.bus, PROGRESS_MS) }),
        },
        {
          provide: RelayServer,
          useFactory: () => new RelayServer(meterRelay(stack.transfers, stack.pulls), log, config.relay.tls),
        },
        {
          provide: SpoolSweeper,
          useFactory: () => {
            // A standalone server has locked its data directory: whatever lies there is of the past.
            const atStart = config.stack === 'standalone' ? 0 : Number.POSITIVE_INFINITY;
            return new SpoolSweeper(stack.blobs, stack.ready, { ...SWEEP, atStart }, log);
          },
        },
      ],
      exports: [PullWorker, RelayServer],
    };
  }
}

function downloads({ pulls, registries }: Config): (upstream: string) => DownloadOptions {
  const common = { ...DOWNLOAD_DEFAULTS, minRate: pulls.minRate, minRateWindow: pulls.minRateOver };
  const own = new Map(registries.map(({ name, connections }) => [canonicalHost(name), { ...common, connections }]));
  return (upstream) => own.get(upstream) ?? common;
}

function contentRules({ registries }: Config): ContentRules {
  return new ContentRules(
    new Map(
      registries.flatMap(({ name, content }): [string, ContentRule][] => {
        const host = canonicalHost(name);
        return host && content ? [[host, content]] : [];
      }),
    ),
  );
}
