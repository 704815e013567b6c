import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { answer, answerContent, answerError, closedOr, type Exchange } from './answer.js';
import { type AuthOptions, check, TokenIssuer, tokenReply } from './auth.js';
import { bytesSource } from './blobs.js';
import { type Certificates, makeCertificates } from './certificates.js';
import { Content } from './content.js';
import { Faults } from './faults.js';
import { type LoggedRequest, RequestLog } from './request-log.js';

export interface FakeUpstreamOptions {
  /** Default anonymous. Changeable later as `fake.auth`. */
  readonly auth?: AuthOptions;
  /** Serves https with the given certificates, or with ones of its own. */
  readonly tls?: boolean | Certificates;
  /** Asks for a client certificate of the same authority and accepts no other. */
  readonly clientCertificates?: boolean;
  /** Default any free one. */
  readonly port?: number;
  /** The address it listens on. Default 127.0.0.1. */
  readonly address?: string;
  /** Shared content. Default: its own, empty. */
  readonly content?: Content;
}

/** An OCI registry on a loopback port that can be told to misbehave. */
export interface FakeUpstream {
  /** `127.0.0.1:PORT`, or `[ADDRESS]:PORT`. */
  readonly host: string;
  readonly port: number;
  /** `http://127.0.0.1:PORT` (or https). */
  readonly url: string;
  readonly certificates?: Certificates;
  readonly content: Content;
  readonly faults: Faults;
  readonly requests: RequestLog;
  readonly tokens: TokenIssuer;
  auth: AuthOptions;
  /** Answers requests that are about the fake itself, as JSON; undefined for all others. They are not logged. */
  onControl?: (method: string, path: string) => unknown;
  /** Connections accepted so far. */
  readonly connections: number;
  addImage: Content['addImage'];
  addBlob: Content['addBlob'];
  /** Closes the port and cuts every connection. */
  stop(): Promise<void>;
  /** Listens again on the same port. */
  start(): Promise<void>;
  /** Cuts the open connections; the port stays open. */
  cut(): void;
}

export async function startFakeUpstream(options: FakeUpstreamOptions = {}): Promise<FakeUpstream> {
  const fake = new Fake(options);
  await fake.start();
  return fake;
}

class Fake implements FakeUpstream {
  readonly content: Content;
  readonly faults = new Faults();
  readonly requests = new RequestLog();
  readonly tokens: TokenIssuer;
  readonly certificates?: Certificates;
  auth: AuthOptions;
  onControl?: FakeUpstream['onControl'];
  port: number;
  connections = 0;
  private server?: Server;
  private readonly numbers = new WeakMap<Socket, number>();

  constructor(private readonly options: FakeUpstreamOptions) {
    this.port = options.port ?? 0;
    this.content = options.content ?? new Content();
    this.auth = options.auth ?? { scheme: 'anonymous' };
    this.tokens = (this.auth.scheme === 'bearer' && this.auth.issuer) || new TokenIssuer();
    if (options.tls) this.certificates = options.tls === true ? makeCertificates() : options.tls;
  }

  get host(): string {
    const { address = '127.0.0.1' } = this.options;
    return `${address.includes(':') ? `[${address}]` : address}:${this.port}`;
  }

  get url(): string {
    return `${this.certificates ? 'https' : 'http'}://${this.host}`;
  }

  addImage: Content['addImage'] = (options) => this.content.addImage(options);
  addBlob: Content['addBlob'] = (repository, blob) => this.content.addBlob(repository, blob);

  async start(): Promise<void> {
    if (this.server) throw new Error('already started');
    const listener: RequestListener = (request, response) => void this.serve(request, response);
    const tls = this.certificates;
    const clients = this.options.clientCertificates ? { requestCert: true, rejectUnauthorized: true } : {};
    const server = tls
      ? (createTlsServer({ cert: tls.cert, key: tls.key, ca: tls.ca, ...clients }, listener) as Server)
      : createServer(listener);
    server.keepAliveTimeout = 60_000;
    server.on(tls ? 'secureConnection' : 'connection', (socket: Socket) => {
      socket.setNoDelay(true);
      this.numbers.set(socket, ++this.connections);
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.port, this.options.address ?? '127.0.0.1', 4096, resolve);
    });
    this.port = (server.address() as AddressInfo).port;
    this.server = server;
  }

  async stop(): Promise<void> {
    const { server } = this;
    this.server = undefined;
    if (!server) return;
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  }

  cut(): void {
    this.server?.closeAllConnections();
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = request.url ?? '/';
    const mark = url.indexOf('?');
    const path = mark < 0 ? url : url.slice(0, mark);
    const control = this.onControl?.(request.method ?? '', path);
    if (control !== undefined) return void response.end(JSON.stringify(control));
    const entry: LoggedRequest = {
      method: request.method ?? '',
      path,
      query: new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1)),
      range: request.headers.range,
      headers: request.headers,
      connection: this.numbers.get(request.socket) ?? 0,
      status: 0,
      sent: 0,
      done: false,
      aborted: false,
    };
    this.requests.add(entry);
    response.on('close', () => {
      entry.done = true;
      entry.aborted = !response.writableFinished;
      this.requests.changed();
    });
    const exchange: Exchange = { request, response, entry, log: this.requests, fault: this.faults.take(request, path) };
    try {
      await this.route(exchange, path);
    } catch (error) {
      response.destroy(error as Error);
    }
  }

  private async route(exchange: Exchange, path: string): Promise<void> {
    const { request, response, entry, fault } = exchange;
    if (fault.reset) return void request.socket.destroy();
    if (fault.hang) return;
    if (fault.delay) await closedOr(response, new Promise((resolve) => setTimeout(resolve, fault.delay)));
    if (fault.gate) await closedOr(response, fault.gate);
    if (response.destroyed) return;
    if (fault.redirect !== undefined) {
      const location = typeof fault.redirect === 'string' ? fault.redirect : fault.redirect(path);
      return answer(exchange, fault.status ?? 307, { location, ...fault.headers }, '');
    }
    if (fault.status !== undefined) {
      if (fault.body === undefined) return answerError(exchange, fault.status, 'UNKNOWN', fault.headers);
      return answer(exchange, fault.status, { ...fault.headers }, fault.body);
    }
    if (fault.html) {
      return answer(
        exchange,
        200,
        { 'content-type': 'text/html; charset=utf-8' },
        '<!doctype html><title>Sign in</title>',
      );
    }
    if (path === '/token' && this.auth.scheme === 'bearer') {
      if (request.method === 'POST' && this.auth.identityToken === undefined)
        return answerError(exchange, 405, 'UNSUPPORTED');
      const asked = request.method === 'POST' ? await formOf(request) : entry.query;
      const { status, body } = tokenReply(this.auth, this.tokens, request.headers.authorization, asked);
      return answer(exchange, status, { 'content-type': 'application/json', ...fault.headers }, JSON.stringify(body));
    }
    if (path.startsWith('/storage/')) return this.storage(exchange, path.slice('/storage/'.length));
    return this.registry(exchange, path);
  }

  /** An object store: takes no Authorization, as S3 refuses a presigned URL together with one. */
  private async storage(exchange: Exchange, digest: string): Promise<void> {
    if (exchange.request.headers.authorization) return answerError(exchange, 400, 'INVALID_ARGUMENT');
    const source = this.content.stored(digest);
    if (!source) return answerError(exchange, 404, 'NO_SUCH_KEY');
    const headers = {
      'content-type': 'binary/octet-stream',
      'accept-ranges': 'bytes',
      etag: `"${digest.slice(7, 39)}"`,
    };
    await answerContent(exchange, source, headers);
  }

  /** distribution-spec "API", the pull half. */
  private async registry(exchange: Exchange, path: string): Promise<void> {
    const { request, response, entry } = exchange;
    response.setHeader('docker-distribution-api-version', 'registry/2.0');
    const match = /^\/v2\/(?:(.+)\/(manifests|blobs|tags|referrers)\/([^/]+))?$/.exec(path);
    if (!match) return answerError(exchange, 404, 'NOT_FOUND');
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return answerError(exchange, 405, 'UNSUPPORTED', { allow: 'GET, HEAD' });
    }
    const [, repository, kind, name = ''] = match;
    const refusal = check(this.auth, this.tokens, request.headers.authorization, repository, `${this.url}/token`);
    if (refusal) {
      const challenge = refusal.challenge as string | string[] | undefined;
      return answerError(exchange, refusal.status, 'UNAUTHORIZED', challenge ? { 'www-authenticate': challenge } : {});
    }
    if (repository === undefined) return answer(exchange, 200, { 'content-type': 'application/json' }, '{}');
    if (!this.content.has(repository)) return answerError(exchange, 404, 'NAME_UNKNOWN');
    if (kind === 'manifests') return this.manifest(exchange, repository, decodeURIComponent(name));
    if (kind === 'blobs') return this.blob(exchange, repository, decodeURIComponent(name));
    const body =
      kind === 'tags'
        ? { name: repository, tags: this.page(repository, entry.query) }
        : {
            schemaVersion: 2,
            mediaType: 'application/vnd.oci.image.index.v1+json',
            manifests: this.content.referrers(repository, name),
          };
    const type = kind === 'tags' ? 'application/json' : 'application/vnd.oci.image.index.v1+json';
    const tags = 'tags' in body ? body.tags : undefined;
    const rest = tags && tags.length > 0 && this.content.tags(repository).at(-1) !== tags.at(-1);
    const link = rest ? { link: `</v2/${repository}/tags/list?last=${tags.at(-1)}&n=${tags.length}>; rel="next"` } : {};
    answer(exchange, 200, { 'content-type': type, ...link }, JSON.stringify(body));
  }

  private page(repository: string, query: URLSearchParams): string[] {
    const last = query.get('last') ?? '';
    const rest = this.content.tags(repository).filter((tag) => tag > last);
    return query.has('n') ? rest.slice(0, Number(query.get('n'))) : rest;
  }

  private async manifest(exchange: Exchange, repository: string, reference: string): Promise<void> {
    const found = this.content.manifest(repository, reference);
    // As distribution: a type that the client does not name is not there for it.
    const accept = exchange.request.headers.accept;
    if (!found || (accept && !accept.includes('*/*') && !accept.includes(found.mediaType))) {
      return answerError(exchange, 404, 'MANIFEST_UNKNOWN');
    }
    const { digest, mediaType, bytes } = found;
    const headers = { 'content-type': mediaType, 'docker-content-digest': digest, etag: `"${digest}"` };
    await answerContent(exchange, bytesSource(bytes, digest), headers);
  }

  private async blob(exchange: Exchange, repository: string, digest: string): Promise<void> {
    const source = this.content.blob(repository, digest);
    if (!source) return answerError(exchange, 404, 'BLOB_UNKNOWN');
    await answerContent(exchange, source, {
      'content-type': 'application/octet-stream',
      'docker-content-digest': digest,
      'accept-ranges': 'bytes',
      etag: `"${digest}"`,
    });
  }
}

async function formOf(request: IncomingMessage): Promise<URLSearchParams> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return new URLSearchParams(Buffer.concat(chunks).toString());
}
