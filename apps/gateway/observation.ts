import type { IncomingMessage } from 'node:http';
import { type Digest, type Failure, formatRepository, type Repository } from '#oci';
import type { AccessTimes, ServedManifest } from '#registry';
import type { AccessLog, Counters, Kind, LineLevel, Traffic } from '#telemetry';
import type { Exchange } from './pull-api.js';

/** As nginx counts it. */
const CLIENT_LEFT = 499;
/** Characters of a client's name for itself. */
const MOST_AGENT = 120;

/** What became of one request; filled in on the way to its answer. */
export interface Account {
  /** `performance.now()` */
  readonly started: number;
  kind?: 'manifest' | 'blob' | 'list';
  repository?: Repository;
  /** As the client asked: tag or digest. */
  reference?: string;
  /** Of what was served. */
  digest?: Digest;
  /** Nobody had to be waited for. */
  hit: boolean;
  /** How the answer came about: `hit`, `stale`, `revalidated`, `stale-on-error`, `joined`, `fetched`. */
  outcome?: string;
  /** Whom the puller asked for it. */
  source?: ServedManifest['source'];
  /** Of the body. */
  bytes: number;
  /** What of the URL is told, when its query holds a password. */
  path?: string;
  /** Who asked, when we ask. */
  user?: string;
  /** Said nothing of who it is, and so may have been told to: the beginning of most pulls. */
  unasked?: boolean;
}

/**
 * Server-Timing (W3C) of an answer that was not a plain hit: how it came about and the milliseconds until it began, which host
 * was asked and how long it took, and for how long of that we did not ask it since it rests.
 */
export function timingOf({ timed, account }: Exchange): string[] {
  const { outcome, source, started } = account;
  if (!timed || outcome === undefined || outcome === 'hit') return [];
  const parts = [`cache;desc="${outcome}";dur=${(performance.now() - started).toFixed(1)}`];
  if (source) parts.push(`upstream;desc="${source.from}";dur=${source.ms}`);
  if (source?.held) parts.push(`held;dur=${source.held}`);
  return ['server-timing', parts.join(', ')];
}

/** Where the hits of one upstream and kind are counted. */
export interface Tally {
  readonly kind: Kind;
  readonly counters: Counters;
}

/** Counts, dates and logs what was answered. Synchronous and cheap: it runs on every warm hit. */
export class Observation {
  constructor(
    private readonly traffic: Traffic,
    private readonly accesses: AccessTimes<IncomingMessage>,
    private readonly lines: AccessLog,
  ) {}

  /** The answer was handed over. */
  served(exchange: Exchange): void {
    const { account } = exchange;
    const { statusCode } = exchange.res;
    const { kind, repository, digest, hit } = account;
    const ms = performance.now() - account.started;
    this.count(statusCode);
    if (kind !== undefined && repository !== undefined) {
      const counters = this.traffic.of(repository.upstream, kind);
      if (hit) counters.hits++;
      else counters.misses++;
      counters.bytesServed += account.bytes;
      this.traffic.observe(kind, account.outcome ?? (hit ? 'hit' : 'miss'), ms / 1000);
      if (digest !== undefined) this.accesses.note(repository, digest, exchange.req);
    }
    const level = this.lines.choose(hit ? 'hits' : 'misses', ms);
    if (level) this.lines.add(level, lineOf(exchange, statusCode, ms));
  }

  /** Requests so far. */
  get answered(): number {
    return this.traffic.total;
  }

  tallyOf(kind: Kind, { upstream }: Repository): Tally {
    return { kind, counters: this.traffic.of(upstream, kind) };
  }

  /** A hit was answered from memory within `ms`; its access is told apart, and not every time. Whether it gets a line, too. */
  recalled({ kind, counters }: Tally, bytes: number, ms: number): LineLevel | undefined {
    this.count(200);
    counters.hits++;
    counters.bytesServed += bytes;
    this.traffic.observe(kind, 'hit', ms / 1000);
    return this.lines.choose('hits', ms);
  }

  line(level: LineLevel, request: Told, ms: number): void {
    this.lines.add(level, lineOf(request, 200, ms));
  }

  accessed(repository: Repository, digest: Digest, req: IncomingMessage): void {
    this.accesses.note(repository, digest, req);
  }

  /** The request was refused, or its answer was cut. */
  failed(exchange: Exchange, failure: Failure): void {
    const { kind, repository, bytes, started } = exchange.account;
    const ms = performance.now() - started;
    const left = exchange.res.destroyed;
    const status = left ? CLIENT_LEFT : failure.status;
    this.count(status);
    if (kind !== undefined && repository !== undefined) {
      const counters = this.traffic.of(repository.upstream, kind);
      counters.bytesServed += bytes;
      if (!left) {
        counters.failures++;
        this.traffic.observe(kind, 'failure', ms / 1000);
      }
    }
    const level = this.lines.choose('failures', ms);
    const usual = left || (failure.reason === 'UNAUTHORIZED' && exchange.account.unasked);
    if (level) this.lines.add(usual ? 'debug' : level, lineOf(exchange, status, ms, failure));
  }

  private count(status: number): void {
    this.traffic.total++;
    this.traffic.requests.set(status, (this.traffic.requests.get(status) ?? 0) + 1);
  }
}

type Told = Pick<Exchange, 'req' | 'id' | 'account'>;

function lineOf({ req, id, account }: Told, status: number, ms: number, failure?: Failure): object {
  const { kind, repository, reference, hit, outcome, source, bytes, user } = account;
  return {
    requestId: id,
    method: req.method,
    ...(kind && repository
      ? { kind, repository: formatRepository(repository), reference }
      : { url: account.path ?? req.url }),
    status,
    ...(failure ? { reason: failure.reason, cut: bytes > 0 } : { outcome: outcome ?? (hit ? 'hit' : 'miss') }),
    ...(source ? { from: source.from, upstreamMs: source.ms, heldMs: source.held } : {}),
    bytes,
    ms: Math.round(ms),
    client: req.socket.remoteAddress,
    ...(user === undefined ? {} : { user }),
    agent: req.headers['user-agent']?.slice(0, MOST_AGENT),
  };
}
