import 'reflect-metadata';
import type { Server } from 'node:http';
import type { DynamicModule } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { within } from '#async';
import type { BlobStore } from '#blobs';
import type { Config, Role } from '#config';
import { AccessTimes, type Log, PullWorker, Registry, Watcher } from '#registry';
import { RelayServer } from '#relay';
import { openStack } from '#stack';
import { AccessLog, type Logger, NestLogger } from '#telemetry';
import { AdminModule } from '../admin/admin.module.js';
import { serveDocs } from '../admin/api/openapi.js';
import { ExchangeModule } from '../admin/exchange/exchange.module.js';
import { JournalModule } from '../admin/journal/journal.module.js';
import { JournalService } from '../admin/journal/journal.service.js';
import { PreloadModule } from '../admin/preload/preload.module.js';
import { PreloadService } from '../admin/preload/preload.service.js';
import { KeepingService } from '../admin/prune/keeping.service.js';
import { PruneModule } from '../admin/prune/prune.module.js';
import { serveUi } from '../admin/ui.js';
import { VerifyModule } from '../admin/verify/verify.module.js';
import { VerifyService } from '../admin/verify/verify.service.js';
import { WatchModule } from '../admin/watch/watch.module.js';
import { Gate } from '../gateway/auth/gate.js';
import { GatewayModule, gatewayMemory } from '../gateway/gateway.module.js';
import { GatewayServer } from '../gateway/gateway-server.js';
import { offerPullApi } from '../gateway/pull-api-to-try.js';
import { PullerModule } from '../puller/puller.module.js';
import { openSidePort } from './side-port.js';
import { readVersion } from './version.js';

/** Downloads, then pulls, get this long to end by themselves; together less than the command's grace period. */
const GRACE_MS = 12_000;
/** Background pulls that one puller runs beside `workers` interactive ones. */
const BACKGROUND_SHARE = 0.5;
/** Manifests and lists that count as one pull: they wait for small answers, and take neither memory nor bandwidth. */
const LIGHT_PULLS = 4;

export interface RunningServer {
  /** `http://host:port` by what listens there. */
  readonly addresses: { readonly registry?: string; readonly admin: string };
  /** Resolves when every dependency was reached and pulls are being served; it listens long before. */
  readonly ready: Promise<void>;
  /** Stops accepting, lets running work finish within bounds, closes everything. Callers share one stop. */
  stop(): Promise<void>;
}

export interface StartOptions {
  readonly role: Role;
  readonly logger: Logger;
  /** Keeps the cache in order by itself. Default true; false for the time of one command. */
  readonly keeping?: boolean;
}

/** Composes a role of the configured stack into one process. Resolves when its ports listen. */
export async function startServer(config: Config, options: StartOptions): Promise<RunningServer> {
  const { role, logger, keeping = true } = options;
  const has = (part: Role) => role === 'all' || role === part;
  const stack = openStack(config, role, logger);
  let relayUrl = '';
  const about = { version: readVersion().version, role, stack: config.stack };
  const imports: DynamicModule[] = [AdminModule.for(config, stack, logger, about)];
  if (has('admin'))
    imports.push(
      PreloadModule.for(config, stack, logger),
      ExchangeModule.for(config, stack, logger),
      PruneModule.for(config, stack, logger, keeping),
      VerifyModule.for(config, stack, logger),
      JournalModule.for(config, stack, logger),
      WatchModule.for(config, stack, logger),
    );
  const facts = has('gateway') ? gatewayMemory(config.stack) : undefined;
  if (facts) imports.push(GatewayModule.for(config, stack, facts, logger));
  if (has('puller')) imports.push(PullerModule.for(config, stack, { relayUrl: () => relayUrl, facts }, logger));
  class ServerModule {}
  const app = await NestFactory.create<NestFastifyApplication>(
    { module: ServerModule, imports },
    new FastifyAdapter(),
    {
      logger: new NestLogger(logger),
      abortOnError: false,
      // What a webhook is signed by is its bytes.
      rawBody: true,
    },
  );
  serveDocs(app);
  // Not around client certificates.
  if (has('gateway') && config.serverTlsConfig.clientAuth !== 'verify') offerPullApi(app);
  await serveUi(app);
  const gateway = has('gateway') ? app.get(GatewayServer) : undefined;
  const worker = has('puller') ? app.get(PullWorker) : undefined;
  const relay = worker && config.stack === 'distributed' ? app.get(RelayServer) : undefined;
  const sidePorts: Server[] = [];
  const closeAll = async () => {
    if (has('admin')) {
      const background = [PreloadService, KeepingService, VerifyService, JournalService, Watcher];
      await Promise.all(background.map((service) => app.get<{ stop(): Promise<void> }>(service).stop()));
    }
    await gateway?.stop(GRACE_MS);
    if (gateway) {
      app.get<Gate | undefined>(Gate)?.close();
      app.get(Registry).close();
      await app.get(AccessTimes).close();
      await app.get(AccessLog).close();
    }
    const finished = Promise.all(app.getMicroservices().map((service) => service.close()));
    await within(GRACE_MS, finished, () => new Error('pulls are still running')).catch(() => {});
    worker?.stop();
    await within(GRACE_MS / 4, finished, () => new Error('pulls do not stop')).catch((error: unknown) =>
      logger.warn({ error: String(error) }, 'stopping'),
    );
    await relay?.close();
    for (const server of sidePorts) server.close();
    await app.close();
    await stack.close();
  };
  let stopped: Promise<void> | undefined;
  const stop = () => (stopped ??= closeAll());
  try {
    if (relay) {
      const port = await relay.listen(config.relay.port, '0.0.0.0');
      const { host, port: advertised } = config.relay.advertise;
      relayUrl = `${config.relay.tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${advertised || port}`;
    }
    await app.listen(config.adminPort, config.admin.host);
    const fastify = app.getHttpAdapter().getInstance();
    for (const [path, port] of [
      ['/health', config.health],
      ['/metrics', config.metrics],
    ] as const) {
      if (port === undefined) continue;
      sidePorts.push(await openSidePort(path, (req, res) => fastify.routing(req, res), port, config.host));
    }
    const registryPort = gateway && (await gateway.listen(config.port, config.host));
    const ready = stack.ready.then(async () => {
      if (!worker || stopped) return;
      await reclaimSpool(stack.blobs, logger);
      const slots = {
        interactive: config.workers,
        background: Math.max(1, Math.floor(config.workers * BACKGROUND_SHARE)),
        light: LIGHT_PULLS,
      };
      app.connectMicroservice({ strategy: stack.strategy(slots) });
      await app.startAllMicroservices();
    });
    ready.catch(() => {});
    const admin = (await app.getUrl()).replace('[::1]', '127.0.0.1');
    return {
      addresses: {
        admin,
        ...(registryPort
          ? { registry: `${config.serverTlsConfig.cert ? 'https' : 'http'}://${shown(config.host)}:${registryPort}` }
          : {}),
      },
      ready,
      stop,
    };
  } catch (error) {
    await stop().catch(() => {});
    throw error;
  }
}

/** What a killed puller left takes space that this one may need; that it cannot be removed is no reason not to start. */
async function reclaimSpool(blobs: BlobStore, log: Log): Promise<void> {
  try {
    const files = await blobs.reclaim();
    if (files > 0) log.info({ files }, 'removed what a killed process left in the spool');
  } catch (error) {
    log.warn({ error: String(error) }, 'cannot look for what a killed process left in the spool');
  }
}

/** An address that people can open. */
function shown(host: string): string {
  return host === '0.0.0.0' || host === '::' ? 'localhost' : host;
}
