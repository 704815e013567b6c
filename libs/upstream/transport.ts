import type { IncomingHttpHeaders } from 'node:http';
import type { LookupFunction } from 'node:net';
import type { Readable } from 'node:stream';
import { Agent, buildConnector, type Dispatcher, EnvHttpProxyAgent, request } from 'undici';
import { unless } from '#async';
import { mayBePublic, publicOnly, refusal } from './addresses.js';
import type { Endpoint, Endpoints } from './endpoints.js';
import { connectionFailure, isBrokenConnection, upstreamFailure } from './failures.js';
import { Names } from './names.js';
import type { ProxyOptions, Timeouts, TlsOptions } from './options.js';
import { type ProxyChoice, proxyFor } from './proxies.js';

export interface TransportRequest {
  /** POST only where it may be repeated. */
  readonly method: 'GET' | 'HEAD' | 'POST';
  readonly url: URL;
  readonly body?: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Aborts the request, and its body too. */
  readonly signal?: AbortSignal;
  /** On whose behalf: decides about TLS and about addresses. */
  readonly endpoint: Endpoint;
  /** The host of `url` is trusted as much as the endpoint's own. */
  readonly trusted?: boolean;
}

/** One HTTP answer. Whoever gets it reads the body, or calls `discard`. */
export class Answer {
  constructor(
    readonly status: number,
    private readonly headers: IncomingHttpHeaders,
    /** As it came, possibly encoded. */
    readonly body: Readable,
    private readonly dump: () => Promise<void>,
  ) {
    // Errors reach whoever iterates; an abandoned body must not end the process.
    body.on('error', () => {});
  }

  /** Several lines are joined by commas. */
  header(name: string): string | undefined {
    const value = this.headers[name];
    return Array.isArray(value) ? value.join(', ') : value;
  }

  /** Reads a short rest so that the connection can be used again, else closes it. */
  discard(): void {
    this.dump().catch(() => {});
  }
}

const KEEP_ALIVE = 30_000;
const DISCARD_AT_MOST = 64 * 1024;

/** Sends single requests: connections, TLS, time-outs and addresses; nothing about registries. */
export class Transport {
  private readonly agents = new Map<string, Dispatcher>();
  private readonly names: Names;

  constructor(
    private readonly options: {
      readonly timeouts: Timeouts;
      readonly headers: Readonly<Record<string, string>>;
      readonly lookup?: LookupFunction;
      readonly proxies?: ProxyOptions;
    },
    private readonly endpoints: Endpoints,
  ) {
    this.names = new Names(options.lookup);
  }

  /** Rejects with a Failure, or with the signal's reason. */
  async send(request: TransportRequest): Promise<Answer> {
    try {
      return await this.attempt(request);
    } catch (error) {
      // B43: a connection that the other side closed while it was idle says nothing about the request; GET and HEAD are idempotent.
      if (!isBrokenConnection(error) || request.signal?.aborted) throw this.reason(error, request);
    }
    try {
      return await this.attempt(request);
    } catch (error) {
      throw this.reason(error, request);
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.agents.values()].map((agent) => agent.destroy()));
  }

  private reason(error: unknown, { url, signal }: TransportRequest): unknown {
    if (signal?.aborted) return signal.reason;
    this.names.doubt(url.hostname);
    return connectionFailure(error);
  }

  private async attempt({ method, url, headers, body, signal, endpoint, trusted }: TransportRequest): Promise<Answer> {
    signal?.throwIfAborted();
    const { connect, headers: headersTimeout } = this.options.timeouts;
    const abort = new AbortController();
    const onAbort = () => abort.abort(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    const detach = () => signal?.removeEventListener('abort', onAbort);
    // undici times connecting and answering, but not the wait for a free connection.
    const timer = setTimeout(() => abort.abort(upstreamFailure('UPSTREAM_TIMEOUT')), connect + headersTimeout);
    try {
      // It does not even look at the signal of a request that waits for one.
      const asked = request(url, {
        method,
        headers: { ...this.options.headers, ...headers },
        ...(body === undefined ? {} : { body }),
        signal: abort.signal,
        // undici closes the connection after HEAD unless told otherwise; that is a TLS handshake for each tag checked.
        reset: false,
        dispatcher: this.dispatcher(endpoint, url, trusted === true),
      });
      const answer = await unless(abort.signal, asked);
      answer.body.once('close', detach);
      return new Answer(answer.statusCode, answer.headers, answer.body, () =>
        answer.body.dump({ limit: DISCARD_AT_MOST }),
      );
    } catch (error) {
      detach();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   *   target                        | TLS                               | addresses
   *   the endpoint itself           | its own, with client certificate  | any, if it is configured
   *   another configured endpoint   | that one's authorities            | any
   *   realm on the endpoint's host  | the endpoint's authorities        | any, if it is configured
   *   anything else                 | the endpoint's authorities        | public
   *
   * A proxy resolves names itself: behind one "public" is judged by the name alone.
   */
  private dispatcher(endpoint: Endpoint, url: URL, trusted: boolean): Dispatcher {
    const own = url.origin === endpoint.origin;
    const other = own ? undefined : this.endpoints.at(url.origin);
    const anyAddress = own || trusted ? endpoint.configured : other !== undefined;
    const { cert, key, ...authorities } = (other ?? endpoint).tls ?? {};
    const tls: TlsOptions = own ? { ...authorities, cert, key } : authorities;
    const proxy = proxyFor(endpoint, url, this.options.proxies ?? {});
    if (proxy && !anyAddress && !mayBePublic(url.hostname)) throw refusal(url.hostname);
    const id = JSON.stringify([tls, anyAddress, endpoint.maxConnections, proxy]);
    let agent = this.agents.get(id);
    if (!agent) {
      agent = this.agent(tls, anyAddress, endpoint.maxConnections, proxy);
      this.agents.set(id, agent);
    }
    return agent;
  }

  private agent(tls: TlsOptions, anyAddress: boolean, connections: number, proxy?: ProxyChoice): Dispatcher {
    const { lookup } = this.names;
    const { timeouts } = this.options;
    const connect = {
      timeout: timeouts.connect,
      ca: tls.ca,
      cert: tls.cert,
      key: tls.key,
      rejectUnauthorized: !tls.insecureSkipVerify,
      lookup,
    } as buildConnector.BuildOptions;
    const options = {
      connect: anyAddress ? connect : publicOnly(connect, lookup),
      connections,
      headersTimeout: timeouts.headers,
      bodyTimeout: timeouts.body,
      keepAliveTimeout: KEEP_ALIVE,
    };
    if (!proxy) return new Agent(options);
    const { uri, except: noProxy } = proxy;
    // Plain http is asked of the proxy as it is: many allow tunnels to the port of https only.
    return new EnvHttpProxyAgent({
      ...options,
      httpProxy: uri,
      httpsProxy: uri,
      noProxy,
      requestTls: connect,
      proxyTunnel: false,
    });
  }
}
