import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { BlobStore, Notes } from '#blobs';
import { createFsBlobStore, createFsNotes, createS3BlobStore, createS3Notes } from '#blobs/adapters';
import type { Bus } from '#bus';
import {
  connectJetStream,
  InProcessBus,
  InProcessStrategy,
  type JetStreamStrategy,
  type SlotLimits,
} from '#bus/adapters';
import type { Catalog, PoolState } from '#catalog';
import { connectCatalog, lockDirectory, migrate, startEmbeddedPostgres } from '#catalog/adapters';
import type { Config, Role } from '#config';
import { Journal, journaled, type Log, type Relays, Transfers, UpstreamStates } from '#registry';
import { HttpRelays } from '#relay';
import { meterUpstream, PullCounters, Traffic, UsageBook } from '#telemetry';
import type { Upstream } from '#upstream';
import { connectWithPatience, type Dependency, standIn } from './dependency.js';
import { EventualBus } from './eventual-bus.js';
import { openUpstream } from './open-upstream.js';
import { redirects } from './redirects.js';
import { spoolBytes } from './spool-bytes.js';

/** Every port on the adapters that the configuration asks for. Usable at once; calls are refused until `ready`. */
export interface Stack {
  readonly catalog: Catalog;
  readonly blobs: BlobStore;
  /** Where the journal of the catalog is kept. */
  readonly notes: Notes;
  readonly bus: Bus;
  readonly upstream: Upstream;
  readonly upstreams: UpstreamStates;
  /** Names this installation in `Via`; undefined until the catalog has been reached. */
  hop(): string | undefined;
  readonly transfers: Transfers;
  /** Clients may be sent to the blob store for what is in it. */
  readonly redirects: boolean;
  /** What this process serves and fetches. */
  readonly traffic: Traffic;
  /** What it pulls. */
  readonly pulls: PullCounters;
  /** Connections to the database; undefined until it has been reached. */
  pool(): PoolState | undefined;
  readonly relays: Relays;
  /** For readiness. */
  readonly dependencies: readonly Dependency[];
  /** Resolves when every dependency has been reached once. */
  readonly ready: Promise<void>;
  /** The transport for pullers; only after `ready`. */
  strategy(slots: SlotLimits): InProcessStrategy | JetStreamStrategy;
  close(): Promise<void>;
}

/** Milliseconds between two writes of the counters that all processes share. */
const USAGE_EVERY_MS = 10_000;
/** Milliseconds of facts that a killed process takes with it from the journal, until the next snapshot. */
const JOURNAL_EVERY_MS = 10_000;

/** The one place that knows which stack runs: decides by what is configured, connects in the background. */
export function openStack(config: Config, role: Role, log: Log): Stack {
  const stopping = new AbortController();
  const closers: (() => Promise<unknown> | void)[] = [];
  if (config.stack === 'standalone') {
    mkdirSync(config.dataDir, { recursive: true });
    // Here, and not only around the database: to be refused is an end, not something to wait for.
    closers.push(lockDirectory(config.dataDir));
  }

  let connected: Catalog | undefined;
  let installation: string | undefined;
  const hop = () => (installation === undefined ? undefined : `1.1 ociregistry-${installation}`);
  const notes = openNotes(config);
  const journal = new Journal(notes, () => catalog.installation(), log, JOURNAL_EVERY_MS);
  const catalog = standIn<Catalog>('PostgreSQL', () => connected, [
    'pulls',
    'inventory',
    'holdings',
    'upstreams',
    'usage',
    'duties',
    'pruning',
  ]);
  const catalogReady = connectWithPatience(
    'PostgreSQL',
    async () => {
      const opened = await openCatalog(config, role, log, closers);
      installation = await opened.installation();
      return journaled(opened, journal);
    },
    log,
    stopping.signal,
  ).then((value) => {
    connected = value;
  });

  const blobs = openBlobs(config);
  const traffic = new Traffic();
  const usage = new UsageBook(traffic, catalog.usage, log, USAGE_EVERY_MS);
  const client = openUpstream(config, log, {
    hop,
    onPaused: (host, pause) => upstreams.paused(host, pause),
    onFailing: (host, until) => upstreams.failing(host, until),
  });
  const upstream = meterUpstream(client, traffic);
  const transfers = new Transfers();

  let bus: Bus;
  let busReady: Promise<unknown> = Promise.resolve();
  let strategy: Stack['strategy'];
  let relays: Relays = transfers;
  const { nats } = config.bus;
  if (config.stack === 'standalone' || !nats) {
    const local = new InProcessBus();
    bus = local;
    strategy = (slots) => new InProcessStrategy(local, { slots });
    closers.push(() => local.close());
  } else {
    const eventual = new EventualBus();
    let jetStream: Awaited<ReturnType<typeof connectJetStream>> | undefined;
    bus = eventual;
    busReady = connectWithPatience(
      'NATS',
      () =>
        connectJetStream({
          ...nats,
          prefix: nats.prefix || undefined,
          lease: config.pulls.lease,
          name: `ociregistry ${role}`,
        }),
      log,
      stopping.signal,
    ).then((value) => {
      jetStream = value;
      eventual.connected(value.bus);
      closers.push(() => value.bus.close());
    });
    strategy = (slots) => {
      if (!jetStream) throw new Error('the bus is not connected yet');
      return jetStream.strategy(slots);
    };
    const http = new HttpRelays(transfers, { idleTimeout: 2 * config.pulls.lease, tls: config.relay.tls, log });
    relays = http;
    closers.push(() => http.close());
  }
  const upstreams = new UpstreamStates({ catalog, bus, upstream, log });
  const blobsReady = connectWithPatience('the blob store', () => blobs.ping(), log, stopping.signal);
  const ready = Promise.all([catalogReady, busReady, blobsReady]).then(async () => {
    if (role === 'all' || role === 'puller') await upstreams.follow();
  });
  ready.catch(() => {});

  return {
    catalog,
    blobs,
    bus,
    upstream,
    upstreams,
    hop,
    transfers,
    redirects: redirects(config),
    traffic,
    pulls: new PullCounters(),
    pool: () => connected?.pool(),
    relays,
    notes,
    ready,
    strategy,
    dependencies: [
      { name: 'postgresql', check: () => catalog.ping() },
      { name: config.stack === 'standalone' ? 'bus' : 'nats', check: () => bus.ping() },
      { name: config.blobs.s3 ? 's3' : 'blobs', check: () => blobs.ping() },
    ],
    async close() {
      stopping.abort(new Error('stopping'));
      upstreams.close();
      await Promise.all([usage.close(), journal.close()]);
      notes.close();
      await Promise.allSettled([upstream.close(), blobs.close()]);
      // The catalog's server goes after its clients.
      for (const close of closers.reverse())
        await Promise.resolve(close()).catch((error) => log.warn({ error: String(error) }, 'while closing'));
    },
  };
}

async function openCatalog(
  config: Config,
  role: Role,
  log: Log,
  closers: (() => Promise<unknown> | void)[],
): Promise<Catalog> {
  let { url } = config.metadata;
  // A database of our own has no other users; one that was given may have.
  const alone = !url;
  let demote: ((pid: number) => void) | undefined;
  if (!url) {
    const postgres = await startEmbeddedPostgres({ dataDir: join(config.dataDir, 'postgres'), log });
    closers.push(() => postgres.stop());
    url = postgres.url;
    demote = postgres.demote;
  }
  const applied = await migrate({ url });
  if (applied.length > 0) log.info({ migrations: applied }, 'database schema brought up to date');
  const catalog = await connectCatalog({
    url,
    preparedStatements: !config.metadata.pooler,
    alone,
    ...(demote ? { demote } : {}),
    applicationName: `ociregistry ${role}`,
    onConnectionLost: (error) => log.warn({ error: error.message }, 'an idle database connection was lost'),
  });
  closers.push(() => catalog.close());
  return catalog;
}

function openBlobs(config: Config): BlobStore {
  const { s3, filesystem } = config.blobs;
  const { path, maxBytes } = config.spool;
  if (s3) return createS3BlobStore({ ...s3, spoolPath: path, spoolBytes: spoolBytes(maxBytes, path) });
  // What runs is on the blobs' own disk, where it stays.
  const directory = filesystem!.path;
  return createFsBlobStore({ path: directory, spoolBytes: spoolBytes(maxBytes, directory) });
}

function openNotes({ blobs: { s3, filesystem } }: Config): Notes {
  return s3 ? createS3Notes(s3) : createFsNotes({ path: filesystem!.path });
}
