import type { IncomingMessage } from 'node:http';
import { type DynamicModule, Module } from '@nestjs/common';
import type { Config } from '#config';
import { AccessTimes, FactCache, type Log, PullWaits, Registry } from '#registry';
import type { Stack } from '#stack';
import { AccessLog } from '#telemetry';
import { Gate } from './auth/gate.js';
import { GatewayServer, type TlsFiles } from './gateway-server.js';
import { Observation } from './observation.js';
import { PublicAddress } from './public-address.js';
import { PullApi } from './pull-api.js';
import { sourceRules } from './source-rules.js';
import { listRule, tagRules } from './tag-rules.js';

const MANIFEST_MEMORY = 64 * 2 ** 20;
const BLOB_MEMORY = 64 * 2 ** 20;
/** A signal that a tag has moved may be lost between processes, never inside one; how long it is fresh is asked all the same. */
const TAG_MEMORY_MS = { distributed: 2000, standalone: 600_000 };
const NEGATIVE_MS = 5000;
/** Between two questions about a tag that an upstream does not answer. */
const RETRY_MS = 10_000;
const REVALIDATE_MS = 5000;
const ROW_POLL_MS = 2000;
/** Longer than NATS takes to restart; three publishes are given up in that time. */
const BUS_PATIENCE_MS = 7000;
const EMPTY_REFERRERS_MS = 10_000;
const ACCESS_TIMES = { flushEvery: 5000, resolution: 60_000 };

/** Characters of a client's name for itself. */
const MOST_AGENT = 120;

function clientOf(address: PublicAddress): (req: IncomingMessage) => string {
  return (req) => `${address.clientOf(req)} ${req.headers['user-agent']?.slice(0, MOST_AGENT) ?? ''}`.trimEnd();
}

export function gatewayMemory(stack: Config['stack']): FactCache {
  return new FactCache({
    manifestBytes: MANIFEST_MEMORY,
    blobBytes: BLOB_MEMORY,
    tagTtl: TAG_MEMORY_MS[stack],
    negativeTtl: NEGATIVE_MS,
    retryAfter: RETRY_MS,
  });
}

/** The OCI pull API. Stateless; never talks to an upstream. */
@Module({})
export class GatewayModule {
  /** `facts`: what the gateway knows without a question, and a puller of the same process tells it. */
  static for(config: Config, stack: Stack, facts: FactCache, log: Log): DynamicModule {
    const address = new PublicAddress(config);
    return {
      module: GatewayModule,
      providers: [
        {
          provide: Registry,
          useFactory: () => {
            const { catalog, blobs, bus, relays } = stack;
            const waits = new PullWaits(bus, catalog.pulls, relays, log, {
              timeout: config.pullTimeout,
              poll: ROW_POLL_MS,
              busPatience: BUS_PATIENCE_MS,
            });
            return new Registry(
              { catalog, blobs, bus, waits, facts, log },
              {
                airGapped: config.airGapped,
                revalidateTimeout: REVALIDATE_MS,
                tagRule: tagRules(config),
                lists: { rule: listRule(config), emptyFor: EMPTY_REFERRERS_MS },
              },
            );
          },
        },
        {
          provide: AccessTimes,
          useFactory: () => new AccessTimes(stack.catalog, log, { ...ACCESS_TIMES, clientOf: clientOf(address) }),
        },
        {
          provide: AccessLog,
          useFactory: () => {
            const lines = new AccessLog(log, config.accessLog, /^(debug|trace)$/.test(config.logLevel));
            stack.traffic.linesDropped = () => lines.dropped;
            return lines;
          },
        },
        {
          provide: Observation,
          inject: [AccessTimes, AccessLog],
          useFactory: (accesses: AccessTimes<IncomingMessage>, lines: AccessLog) =>
            new Observation(stack.traffic, accesses, lines),
        },
        {
          provide: Gate,
          // Loaded where it is wanted.
          useFactory: async () =>
            config.clientAuth &&
            (await import('./auth/open-gate.js')).openGate(config, config.clientAuth, address, log),
        },
        {
          provide: PullApi,
          inject: [Registry, Observation, Gate],
          useFactory: (registry: Registry, observation: Observation, gate: Gate | undefined) =>
            new PullApi(registry, {
              sources: sourceRules(config, stack),
              hop: () => stack.hop(),
              pathPrefix: config.pathPrefix,
              address,
              log,
              observation,
              serverTiming: config.serverTiming,
              redirects: stack.redirects,
              gate,
            }),
        },
        {
          provide: GatewayServer,
          inject: [PullApi],
          useFactory: (api: PullApi) => new GatewayServer(api, log, serverTls(config)),
        },
      ],
      exports: [GatewayServer, Gate, Registry, AccessTimes, AccessLog],
    };
  }
}

function serverTls({ serverTlsConfig }: Config): TlsFiles | undefined {
  const { cert, key, ca, clientAuth } = serverTlsConfig;
  if (!cert || !key) return undefined;
  return { cert, key, ...(ca ? { ca } : {}), verify: clientAuth === 'verify' };
}
