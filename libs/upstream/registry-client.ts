import { type Digest, Failure, isDigest, isTag, type Repository } from '#oci';
import { Authorization } from './authorization.js';
import { blobBody, blobFacts, rangeHeader } from './blobs.js';
import { isEncoded } from './bodies.js';
import { type Endpoint, Endpoints } from './endpoints.js';
import { headOf, MANIFEST_HEADERS, manifestOf } from './manifests.js';
import { DEFAULT_TIMEOUTS, type UpstreamOptions } from './options.js';
import type { BlobBody, CallOptions, FetchedManifest, Upstream } from './port.js';
import { type Followed, Redirects } from './redirects.js';
import { Tokens } from './tokens.js';
import { Transport } from './transport.js';

interface Call {
  readonly endpoint: Endpoint;
  readonly repository: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** distribution-spec "Pull", over redirects over authorisation over transport. */
export class RegistryClient implements Upstream {
  private readonly endpoints: Endpoints;
  private readonly transport: Transport;
  private readonly redirects: Redirects;

  constructor(options: UpstreamOptions) {
    this.endpoints = new Endpoints(options);
    const headers = {
      'user-agent': options.userAgent ?? 'ociregistry',
      ...(options.instance === undefined ? {} : { via: `1.1 ociregistry-${options.instance}` }),
      'accept-encoding': 'identity',
    };
    const timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts };
    this.transport = new Transport({ timeouts, headers, lookup: options.lookup }, this.endpoints);
    this.redirects = new Redirects(new Authorization(this.transport, new Tokens(this.transport)));
  }

  allows(host: string): boolean {
    return this.endpoints.allows(host);
  }

  async headManifest(repository: Repository, reference: string, { signal }: CallOptions = {}) {
    const call = this.call(repository, `manifests/${checked(reference)}`, MANIFEST_HEADERS, signal);
    return call.endpoint.breaker.run(async () => {
      const { answer } = await this.send('HEAD', call);
      answer.discard();
      const facts = headOf(answer, reference);
      if (facts) return facts;
      const { digest, mediaType, bytes } = await this.fetchManifest(call, reference);
      return { digest, mediaType, size: bytes.length };
    });
  }

  async getManifest(repository: Repository, reference: string, { signal }: CallOptions = {}): Promise<FetchedManifest> {
    const call = this.call(repository, `manifests/${checked(reference)}`, MANIFEST_HEADERS, signal);
    return call.endpoint.breaker.run(() => this.fetchManifest(call, reference));
  }

  async headBlob(repository: Repository, digest: Digest, { signal }: CallOptions = {}) {
    const call = this.call(repository, `blobs/${digest}`, {}, signal);
    return call.endpoint.breaker.run(async () => {
      const head = await this.send('HEAD', call);
      head.answer.discard();
      if (!headRefused(head)) return blobFacts(head.answer);
      const { answer } = await this.send('GET', { ...call, headers: { range: 'bytes=0-0' } });
      answer.body.destroy();
      return blobFacts(answer);
    });
  }

  async getBlob(
    repository: Repository,
    digest: Digest,
    span?: { offset: number; length?: number },
    { signal, ifRange }: CallOptions & { ifRange?: string } = {},
  ): Promise<BlobBody> {
    const range = rangeHeader(span);
    const headers = range === undefined ? {} : { range, ...(ifRange === undefined ? {} : { 'if-range': ifRange }) };
    const call = this.call(repository, `blobs/${digest}`, headers, signal);
    return call.endpoint.breaker.run(async () => {
      const { answer } = await this.send('GET', call);
      if (answer.status !== 206 || !isEncoded(answer))
        return blobBody(answer, range === undefined ? undefined : span, signal);
      // A part of an encoded body cannot be decoded.
      answer.body.destroy();
      const whole = await this.send('GET', { ...call, headers: {} });
      return blobBody(whole.answer, undefined, signal);
    });
  }

  close(): Promise<void> {
    return this.transport.close();
  }

  private async fetchManifest(call: Call, reference: string): Promise<FetchedManifest> {
    const { answer } = await this.send('GET', call);
    return manifestOf(answer, reference, call.signal);
  }

  private call(repository: Repository, rest: string, headers: Call['headers'], signal: AbortSignal | undefined): Call {
    const endpoint = this.endpoints.find(repository.upstream);
    return { endpoint, repository: repository.path, path: `/v2/${repository.path}/${rest}`, headers, signal };
  }

  private send(method: 'GET' | 'HEAD', { path, endpoint, ...rest }: Call): Promise<Followed> {
    return this.redirects.send({ method, url: new URL(path, endpoint.origin), endpoint, ...rest });
  }
}

/** So that a path holds nothing but what it says. */
function checked(reference: string): string {
  if (!isTag(reference) && !isDigest(reference)) throw new Failure('MANIFEST_INVALID');
  return reference;
}

/** Object stores sign a redirect's address for one method, often for GET alone; some registries know no HEAD (B27). */
function headRefused({ answer: { status }, redirected }: Followed): boolean {
  return status === 405 || status === 501 || (redirected && (status === 400 || status === 401 || status === 403));
}
