import { LRUCache } from 'lru-cache';
import { type Descriptor, type Digest, Failure, isDigest, isTag, OCI_INDEX, type Repository, referrersTag } from '#oci';
import { Authorization } from './authorization.js';
import { blobBody, blobFacts, rangeHeader } from './blobs.js';
import { isEncoded } from './bodies.js';
import { type Endpoint, Endpoints } from './endpoints.js';
import { fallbackReferrers, listReferrers, listTags, WITHOUT_REFERRERS } from './lists.js';
import { headOf, MANIFEST_HEADERS, manifestOf } from './manifests.js';
import { DEFAULT_TIMEOUTS, type UpstreamOptions } from './options.js';
import type { BlobBody, CallOptions, FetchedManifest, ManifestHead, Pause, Upstream, UpstreamState } from './port.js';
import { type Counted, quotaOf } from './quota.js';
import { type Followed, Redirects } from './redirects.js';
import { Tokens } from './tokens.js';
import { type Answer, Transport } from './transport.js';

/** What is asked for, wherever it is asked. */
interface Question extends Counted, CallOptions {
  readonly repository: Repository;
  /** Below the repository: `manifests/latest`. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Whoever answers can be checked. */
  readonly byDigest: boolean;
}

interface Call extends Question {
  readonly endpoint: Endpoint;
}

const MOST_SOURCES = 10_000;
const SOURCE_LIFE = 600_000;

/** distribution-spec "Pull", over mirrors over redirects over authorisation over transport. */
export class RegistryClient implements Upstream {
  private readonly endpoints: Endpoints;
  private readonly transport: Transport;
  private readonly redirects: Redirects;
  /** Which mirrors gave whole bodies of a blob. Who asks for it again had no use for them: they are passed over. */
  private readonly sources = new LRUCache<Digest, ReadonlySet<Endpoint>>({ max: MOST_SOURCES, ttl: SOURCE_LIFE });
  /** Repositories whose registry does not know the referrers API. */
  private readonly withoutReferrers = new LRUCache<string, true>(WITHOUT_REFERRERS);

  constructor(private readonly options: UpstreamOptions) {
    this.endpoints = new Endpoints(options);
    const headers = { 'user-agent': options.userAgent ?? 'ociregistry', 'accept-encoding': 'identity' };
    const timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts };
    this.transport = new Transport(
      { timeouts, headers, lookup: options.lookup, proxies: options.proxies },
      this.endpoints,
    );
    this.redirects = new Redirects(new Authorization(this.transport, new Tokens(this.transport)));
  }

  allows(host: string): boolean {
    return this.endpoints.allows(host);
  }

  states(): readonly UpstreamState[] {
    return this.endpoints.known().map(({ host, configured, gate: { pause, quota, failingUntil } }) => ({
      upstream: host,
      configured,
      ...(pause ? { pause } : {}),
      ...(quota ? { quota } : {}),
      ...(failingUntil === undefined ? {} : { failingUntil }),
    }));
  }

  backgroundWait(host: string): number {
    if (!this.allows(host)) return 0;
    const turn = { method: 'GET', content: 'manifests', priority: 'background' } as const;
    return Math.min(...this.endpoints.find(host, true).map(({ gate }) => gate.waitFor(turn)));
  }

  rest(host: string, pause: Pause | undefined): void {
    const known = this.endpoints.known().find((endpoint) => endpoint.host === host);
    const endpoint = known ?? (this.allows(host) ? this.endpoints.find(host, false).at(-1) : undefined);
    if (endpoint) endpoint.gate.pause = pause;
  }

  async headManifest(repository: Repository, reference: string, options: CallOptions = {}): Promise<ManifestHead> {
    return this.ask(manifestQuestion('HEAD', repository, reference, options), async (call) => {
      const { answer } = await this.send(call);
      answer.discard();
      const facts = headOf(answer, reference);
      if (facts) return facts;
      const fetched = await this.fetchManifest(call, reference);
      return { ...fetched, size: fetched.bytes.length };
    });
  }

  async getManifest(repository: Repository, reference: string, options: CallOptions = {}): Promise<FetchedManifest> {
    const question = manifestQuestion('GET', repository, reference, options);
    return this.ask(question, (call) => this.fetchManifest(call, reference));
  }

  async headBlob(repository: Repository, digest: Digest, options: CallOptions = {}) {
    return this.ask(blobQuestion('HEAD', repository, digest, {}, options), async (call) => {
      const head = await this.send(call);
      head.answer.discard();
      if (!headRefused(head)) return blobFacts(head.answer);
      const { answer } = await this.send({ ...call, method: 'GET', headers: { range: 'bytes=0-0' } });
      answer.body.destroy();
      return blobFacts(answer);
    });
  }

  async getBlob(
    repository: Repository,
    digest: Digest,
    span?: { offset: number; length?: number },
    { ifRange, ...options }: CallOptions & { ifRange?: string } = {},
  ): Promise<BlobBody> {
    const range = rangeHeader(span);
    const headers = range === undefined ? {} : { range, ...(ifRange === undefined ? {} : { 'if-range': ifRange }) };
    const question = blobQuestion('GET', repository, digest, headers, options);
    const used = this.sources.get(digest);
    const fits = (endpoint: Endpoint) => !endpoint.mirror || range !== undefined || !used?.has(endpoint);
    return this.ask(
      question,
      async (call) => {
        const { answer } = await this.send(call);
        if (call.endpoint.mirror && range === undefined && answer.status === 200)
          this.sources.set(digest, new Set([...(used ?? []), call.endpoint]));
        if (answer.status !== 206 || !isEncoded(answer))
          return blobBody(answer, range === undefined ? undefined : span, call.signal);
        // A part of an encoded body cannot be decoded.
        answer.body.destroy();
        const whole = await this.send({ ...call, headers: {} });
        return blobBody(whole.answer, undefined, call.signal);
      },
      fits,
    );
  }

  listTags(repository: Repository, options: CallOptions = {}): Promise<string[]> {
    const headers = { accept: 'application/json' };
    const question = listQuestion('tags', repository, 'tags/list', headers, options);
    return this.ask(question, (call) => listTags((query) => this.page(call, query), call.signal), isNoMirror);
  }

  listReferrers(repository: Repository, digest: Digest, options: CallOptions = {}): Promise<Descriptor[]> {
    const key = `${repository.upstream}/${repository.path}`;
    const question = listQuestion('referrers', repository, `referrers/${digest}`, { accept: OCI_INDEX }, options);
    const work = async (call: Call) => {
      if (!this.withoutReferrers.has(key)) {
        const listed = await listReferrers((query) => this.page(call, query), call.signal);
        if (typeof listed !== 'string') return listed;
        if (listed === 'unknown API') this.withoutReferrers.set(key, true);
      }
      const tag = { ...manifestQuestion('GET', repository, referrersTag(digest), options), endpoint: call.endpoint };
      return fallbackReferrers((await this.send(tag)).answer, call.signal);
    };
    return this.ask(question, work, isNoMirror);
  }

  close(): Promise<void> {
    return this.transport.close();
  }

  private async fetchManifest(call: Call, reference: string): Promise<FetchedManifest> {
    const { answer } = await this.send({ ...call, method: 'GET' });
    return manifestOf(answer, reference, call.signal);
  }

  /** Asks one endpoint after the other until one knows; what the upstream itself says is the answer then. */
  private async ask<T>(
    question: Question,
    work: (call: Call) => Promise<T>,
    fits: (endpoint: Endpoint) => boolean = () => true,
  ): Promise<T> {
    const endpoints = this.endpoints.find(question.repository.upstream, question.byDigest).filter(fits);
    const { method, content, priority = 'interactive', signal, onAnswer } = question;
    const asked = performance.now();
    const passed: { mirror: string; reason: string }[] = [];
    let held = 0;
    const onHeld = (ms: number) => {
      held += ms;
    };
    const answered = <R>(endpoint: Endpoint, result: R): R => {
      const ms = Math.round(performance.now() - asked);
      onAnswer?.({ from: endpoint.host, ms, ...(held ? { held } : {}), ...(passed.length ? { passed } : {}) });
      return result;
    };
    for (const endpoint of endpoints.slice(0, -1)) {
      try {
        // Nobody waits for a mirror that rests.
        const turn = { method, content, priority: 'background', signal } as const;
        return answered(endpoint, await endpoint.gate.run(turn, () => work({ ...question, endpoint })));
      } catch (error) {
        signal?.throwIfAborted();
        if (!(error instanceof Failure)) throw error;
        passed.push({ mirror: endpoint.host, reason: error.message });
      }
    }
    const endpoint = endpoints.at(-1) as Endpoint;
    const turn = { method, content, priority, signal, onHeld };
    return answered(endpoint, await endpoint.gate.run(turn, () => work({ ...question, endpoint })));
  }

  private async page(call: Call, query: string): Promise<Answer> {
    return (await this.send(call, query)).answer;
  }

  private async send(call: Call, query = ''): Promise<Followed> {
    const leave = await call.endpoint.limits.enter(call.priority ?? 'interactive', call.signal);
    try {
      const followed = await this.request(call, query);
      followed.answer.body.once('close', leave);
      if (followed.answer.body.closed) leave();
      return followed;
    } catch (error) {
      leave();
      throw error;
    }
  }

  private request(
    { endpoint, repository, path, headers, via, method, signal }: Call,
    query: string,
  ): Promise<Followed> {
    const { mirror, origin, gate } = endpoint;
    const name = `${mirror?.prefix ?? ''}${repository.path}`;
    const url = new URL(`/v2/${name}/${path}`, origin);
    url.search = query;
    if (mirror) url.searchParams.set('ns', mirror.of);
    const hops = [via, this.options.hop?.()].filter(Boolean).join(', ');
    return this.redirects.send({
      method,
      url,
      endpoint,
      repository: name,
      headers: hops === '' ? headers : { ...headers, via: hops },
      signal,
      onFirst: (answer) => {
        const quota = quotaOf(answer, Date.now());
        if (quota) gate.observe(quota);
      },
    });
  }
}

function manifestQuestion(
  method: 'GET' | 'HEAD',
  repository: Repository,
  reference: string,
  options: CallOptions,
): Question {
  // So that a path holds nothing but what it says.
  if (!isTag(reference) && !isDigest(reference)) throw new Failure('MANIFEST_INVALID');
  const path = `manifests/${reference}`;
  const byDigest = isDigest(reference);
  return { ...options, method, content: 'manifests', repository, path, headers: MANIFEST_HEADERS, byDigest };
}

function blobQuestion(
  method: 'GET' | 'HEAD',
  repository: Repository,
  digest: Digest,
  headers: Question['headers'],
  options: CallOptions,
): Question {
  return { ...options, method, content: 'blobs', repository, path: `blobs/${digest}`, headers, byDigest: true };
}

function listQuestion(
  content: 'tags' | 'referrers',
  repository: Repository,
  path: string,
  headers: Question['headers'],
  options: CallOptions,
): Question {
  return { ...options, method: 'GET', content, repository, path, headers, byDigest: false };
}

/** A mirror may hold a part of its upstream, and no list tells so. */
function isNoMirror({ mirror }: Endpoint): boolean {
  return mirror === undefined;
}

/** Object stores sign a redirect's address for one method, often for GET alone; some registries know no HEAD (B27). */
function headRefused({ answer: { status }, redirected }: Followed): boolean {
  return status === 405 || status === 501 || (redirected && (status === 400 || status === 401 || status === 403));
}
