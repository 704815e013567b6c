import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Failure, isApiPath, isTokenPath, MAX_PAGE, parseRoute, type Repository, type Route } from '#oci';
import {
  type Asked,
  type Caller,
  type Log,
  namesFor,
  Registry,
  type RequestContext,
  resolveSource,
  type SourceRules,
} from '#registry';
import type { Gate } from './auth/gate.js';
import { sendBlob, sendBlobBytes } from './blob-response.js';
import { sendFailure } from './failure-response.js';
import { sendJson } from './json-response.js';
import { sendCatalog, sendReferrers, sendTags } from './list-response.js';
import { sendManifest } from './manifest-response.js';
import type { Account, Observation } from './observation.js';
import type { PublicAddress } from './public-address.js';
import { refuseMethod } from './refused-method.js';
import { Turns } from './turns.js';
import { WarmAnswers } from './warm-answers.js';

/** One request as the responses need it. */
export interface Exchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly head: boolean;
  readonly id: string;
  /** As the client sent it; echoed (WIRE A37). */
  readonly ns?: string;
  readonly account: Account;
  /** The client is told how the answer came about. */
  readonly timed: boolean;
}

interface PullApiOptions {
  readonly sources: SourceRules;
  /** How this installation names itself in `Via`. */
  hop(): string | undefined;
  /** May stand before or after `/v2` (WIRE A31). */
  readonly pathPrefix: string;
  readonly address: PublicAddress;
  readonly log: Log;
  readonly observation: Observation;
  readonly serverTiming: boolean;
  /** Clients are sent to the blob store for stored blobs. */
  readonly redirects: boolean;
  /** Asks who they are; without it everybody may pull. */
  readonly gate: Gate | undefined;
}

/** Caches that a request may have passed. */
const MOST_HOPS = 8;

/** What the use-cases are told of a request. Most ask for no signal, since they wait for nothing that takes long. */
export function contextOf({ id, req, res }: Exchange): RequestContext & { readonly signal: AbortSignal } {
  const { via } = req.headers;
  let left: AbortSignal | undefined;
  return {
    requestId: id,
    get signal() {
      left ??= leaving(res);
      return left;
    },
    ...(via === undefined ? {} : { via: via.slice(0, 1024) }),
  };
}

/** Not one for each request: an error captures its stack, which most requests never need. */
const CLIENT_LEFT = new Failure('UNAVAILABLE', 'the client left');

/** Aborts when the client closes the connection before it has the whole answer. */
function leaving(res: ServerResponse): AbortSignal {
  if (res.destroyed && !res.writableFinished) return AbortSignal.abort(CLIENT_LEFT);
  const gone = new AbortController();
  res.once('close', () => {
    if (!res.writableFinished) gone.abort(CLIENT_LEFT);
  });
  return gone.signal;
}

/** The OCI pull API over plain Node requests: route, source, answer. */
export class PullApi {
  private readonly prefix = randomBytes(4).toString('hex');
  private count = 0;
  private readonly warm: WarmAnswers;
  private readonly blobs: Parameters<typeof sendBlob>[3];

  constructor(
    private readonly registry: Registry,
    private readonly options: PullApiOptions,
  ) {
    const { observation, redirects } = options;
    this.warm = new WarmAnswers(registry, observation, () => this.nextId());
    this.blobs = { registry, redirects, turns: new Turns(() => observation.answered) };
  }

  private nextId(): string {
    return `${this.prefix}-${(++this.count).toString(36)}`;
  }

  handle(req: IncomingMessage, res: ServerResponse): void {
    const { gate, pathPrefix } = this.options;
    if (gate === undefined && this.warm.answer(req, res)) return;
    const exchange: Exchange = {
      req,
      res,
      head: req.method === 'HEAD',
      id: this.nextId(),
      account: { started: performance.now(), hit: true, bytes: 0 },
      timed: this.options.serverTiming,
    };
    try {
      const target = req.url ?? '/';
      if (gate && isTokenPath(target, pathPrefix) && /^(GET|HEAD|POST)$/.test(req.method ?? '')) {
        exchange.account.path = target.split('?', 1)[0]!;
        this.finish(exchange, gate.giveToken(exchange));
        return;
      }
      if (req.method !== 'GET' && !exchange.head) {
        const ours = isApiPath(target, pathPrefix);
        if (ours) res.setHeader('allow', 'GET, HEAD');
        refuseMethod(req, res, () => this.fail(exchange, new Failure(ours ? 'METHOD_NOT_ALLOWED' : 'NOT_FOUND')));
        return;
      }
      const route = parseRoute(target, pathPrefix);
      this.refuseLoop(req.headers.via);
      const named = route.ns === undefined ? exchange : { ...exchange, ns: route.ns };
      if (gate === undefined) this.finish(exchange, this.answer(named, route));
      else this.admit(named, route, gate);
    } catch (error) {
      this.fail(exchange, error);
    }
  }

  /** Nothing is looked up before the client may have what it asks for. */
  private admit(exchange: Exchange, route: Route, gate: Gate): void {
    const go = (caller: Caller) => {
      const visible = gate.visibleTo(caller);
      gate.check(exchange, route, caller, () => this.source(exchange, 'name' in route ? route.name : '', route.ns));
      if (!this.warm.answer(exchange.req, exchange.res)) this.finish(exchange, this.answer(exchange, route, visible));
    };
    const caller = gate.identify(exchange.req);
    if (caller instanceof Promise) caller.then(go).catch((error: unknown) => this.fail(exchange, error));
    else go(caller);
  }

  private finish(exchange: Exchange, answering: Promise<void> | undefined): void {
    if (answering === undefined) this.options.observation.served(exchange);
    else {
      answering.then(
        () => this.options.observation.served(exchange),
        (error: unknown) => this.fail(exchange, error),
      );
    }
  }

  /** A promise only where something must be waited for; a manifest in memory is answered at once. */
  private answer(exchange: Exchange, route: Route, visible?: readonly string[]): Promise<void> | undefined {
    switch (route.kind) {
      case 'base':
        return void sendJson(exchange, 200, '{}');
      case 'manifest': {
        const repository = this.source(exchange, route.name, route.ns);
        exchange.account.kind = 'manifest';
        exchange.account.repository = repository;
        exchange.account.reference = route.reference;
        const asked = this.registry.asked(repository, route.reference);
        const recalled = this.registry.recall(asked);
        if (recalled) {
          this.learn(exchange, 'manifest', asked);
          return void sendManifest(exchange, route.reference, { manifest: recalled, origin: 'hit' });
        }
        return this.manifest(exchange, repository, route.reference);
      }
      case 'blob': {
        const repository = this.source(exchange, route.name, route.ns);
        const asked = this.registry.asked(repository, route.digest);
        const recalled = this.registry.recallBlob(asked);
        if (recalled) {
          this.learn(exchange, 'blob', asked);
          return void sendBlobBytes(exchange, repository, route.digest, recalled);
        }
        return sendBlob(exchange, repository, route.digest, this.blobs);
      }
      case 'token':
        throw new Failure('NOT_FOUND');
      default:
        return this.list(exchange, route, visible);
    }
  }

  private async list(
    exchange: Exchange,
    route: Extract<Route, { kind: 'tags' | 'referrers' | 'catalog' }>,
    visible: readonly string[] | undefined,
  ): Promise<void> {
    const { lists } = this.registry;
    const outer = this.options.address.prefixOf(exchange.req);
    if (route.kind === 'catalog') {
      const all = namesFor(named(exchange, route.ns), this.options.sources);
      const names = visible === undefined ? all : { ...all, visible };
      sendCatalog(exchange, route, await lists.repositories(names, { ...route, n: route.n ?? MAX_PAGE }), outer);
      return;
    }
    const repository = this.source(exchange, route.name, route.ns);
    Object.assign(exchange.account, { kind: 'list', repository, reference: route.kind });
    const context = contextOf(exchange);
    if (route.kind === 'tags') sendTags(exchange, route, await lists.tags(repository, context), outer);
    else sendReferrers(exchange, route, await lists.referrers(repository, route.digest, context), outer);
  }

  private async manifest(exchange: Exchange, repository: Repository, reference: string): Promise<void> {
    const { head } = exchange;
    const served = await this.registry[head ? 'head' : 'manifest'](repository, reference, contextOf(exchange));
    exchange.account.hit = served.origin === 'hit' || served.origin === 'stale';
    exchange.account.outcome = served.origin;
    if (served.source) exchange.account.source = served.source;
    sendManifest(exchange, reference, served);
  }

  private learn({ req, ns }: Exchange, kind: 'manifest' | 'blob', asked: Asked): void {
    if (req.headers['x-registry'] === undefined) this.warm.learn(req.url!, kind, asked, ns);
  }

  private source(exchange: Exchange, name: string, ns: string | undefined): Repository {
    return resolveSource({ name, ...named(exchange, ns) }, this.options.sources);
  }

  /** C35: a request that a puller of ours has sent, or that passes too many caches, would only wait for itself. */
  private refuseLoop(via: string | undefined): void {
    if (via === undefined) return;
    const hop = this.options.hop();
    if ((hop !== undefined && via.includes(hop)) || via.split(',').length > MOST_HOPS) throw new Failure('LOOP');
  }

  private fail(exchange: Exchange, error: unknown): void {
    const failure = Failure.of(error);
    this.options.observation.failed(exchange, failure);
    if (exchange.res.destroyed) return;
    if (failure.reason === 'INTERNAL')
      this.options.log.error({ requestId: exchange.id, err: failure.cause }, 'request failed unexpectedly');
    else if (failure.status >= 500)
      this.options.log.warn(
        {
          requestId: exchange.id,
          reason: failure.reason,
          origin: failure.origin,
          url: exchange.account.path ?? exchange.req.url,
        },
        failure.message,
      );
    sendFailure(exchange, failure);
  }
}

/** The host that the client names beside the path. */
function named({ req }: Exchange, ns: string | undefined): { ns?: string; hostHeader?: string } {
  const hostHeader = req.headers['x-registry'];
  return { ...(ns === undefined ? {} : { ns }), ...(typeof hostHeader === 'string' ? { hostHeader } : {}) };
}
