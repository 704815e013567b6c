import { AsyncLocalStorage } from 'node:async_hooks';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { rootCertificates } from 'node:tls';
import type { Client, ClientOptions } from 'minio';
import { backoff, sleep, unless } from '#async';
import { isCodeOf, isTransient } from './errors.js';
import { ObjectReader } from './object-reader.js';

export interface S3ConnectionOptions {
  /** `https://host[:port]`; without it AWS's of the region. */
  readonly endpoint?: string;
  readonly region: string;
  /** Created when missing. */
  readonly bucket: string;
  /** Without keys: the environment's (`AWS_*`, `MINIO_*`), else the role of the machine. */
  readonly accessKey?: string;
  readonly secretKey?: string;
  /** `endpoint/bucket/key` instead of `bucket.endpoint/key`. */
  readonly pathStyle: boolean;
  /** File of PEM certificates that are trusted beside the well-known ones. */
  readonly ca?: string;
}

export interface Bounds {
  /** One try, until the answer's headers (for calls that read the answer themselves) or its end. */
  readonly timeoutMs: number;
  /** Nothing sent or received for so long ends a try. */
  readonly idleMs: number;
  readonly tries: number;
  readonly signal?: AbortSignal;
}

/** Somebody waits. */
export const ASK: Bounds = { timeoutMs: 15_000, idleMs: 10_000, tries: 3 };
/** A client in the middle of a body waits: about 10 s. */
export const RESUME: Bounds = { timeoutMs: 15_000, idleMs: 10_000, tries: 7 };
/** Bytes that are safe in the spool: about 25 s of trying, enough for a server to restart. */
export const SEND: Bounds = { timeoutMs: 300_000, idleMs: 30_000, tries: 9 };
const PING: Bounds = { timeoutMs: 5_000, idleMs: 5_000, tries: 1 };

/**
 * minio's client with bounds: every try has a time-out and a signal, failures that may pass are tried again, and the
 * bucket is made on first use. Connects to nobody until called.
 */
export class S3Connection {
  readonly bucket: string;
  readonly objects: ObjectReader;
  private readonly open: () => Client | Promise<Client>;
  private readonly agent: http.Agent;
  private readonly running = new Set<AbortController>();
  private bucketReady?: Promise<void>;
  private closed = false;

  constructor(private readonly options: S3ConnectionOptions) {
    this.bucket = options.bucket;
    const endpoint = new URL(options.endpoint ?? `https://s3.${options.region}.amazonaws.com`);
    const tls = endpoint.protocol === 'https:';
    const ca = options.ca ? [...rootCertificates, readFileSync(options.ca, 'utf8')] : undefined;
    this.objects = new ObjectReader(ca);
    this.agent = tls ? new https.Agent({ keepAlive: true, ca }) : new http.Agent({ keepAlive: true });
    const settings = {
      endPoint: endpoint.hostname.replace(/^\[|\]$/g, ''),
      port: endpoint.port ? Number(endpoint.port) : tls ? 443 : 80,
      useSSL: tls,
      region: options.region,
      pathStyle: options.pathStyle,
      transport: boundedTransport(tls ? https : http),
      transportAgent: this.agent,
      // Its own retries are silent about time and write to the console.
      retryOptions: { disableRetry: true },
      accessKey: options.accessKey,
      secretKey: options.secretKey,
    };
    let client: Client | undefined;
    this.open = () =>
      client ??
      import('./client.js').then(({ createClient }) => {
        client ??= createClient(settings);
        return client;
      });
  }

  /** Runs `work` until it succeeds, fails for good, or has been tried often enough. */
  async call<T>(work: (client: Client, signal: AbortSignal) => Promise<T>, bounds: Bounds = ASK): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      try {
        await this.ready();
        return await this.once(work, bounds);
      } catch (error) {
        bounds.signal?.throwIfAborted();
        if (isCodeOf(error, 'NoSuchBucket')) this.bucketReady = undefined;
        else if (!isTransient(error)) throw error;
        if (this.closed || attempt + 1 >= bounds.tries) throw error;
        await sleep(backoff(attempt, 200, 5_000), bounds.signal);
      }
    }
  }

  /** Rejects with the reason when the store does not answer, or refuses the keys. */
  async ping(): Promise<void> {
    await this.ready();
    try {
      await this.probe();
    } catch (error) {
      if (!isCodeOf(error, 'NoSuchBucket')) throw error;
      this.bucketReady = undefined;
      await this.ready();
    }
  }

  close(): void {
    this.closed = true;
    for (const controller of this.running) controller.abort(new Error('the blob store is closed'));
    this.agent.destroy();
    this.objects.close();
  }

  private ready(): Promise<void> {
    this.bucketReady ??= this.makeBucket().catch((error) => {
      this.bucketReady = undefined;
      throw error;
    });
    return this.bucketReady;
  }

  private async makeBucket(): Promise<void> {
    try {
      await this.probe();
    } catch (error) {
      if (!isCodeOf(error, 'NoSuchBucket')) throw error;
      await this.once((client) => client.makeBucket(this.bucket, this.options.region), PING).catch((raced) => {
        if (!isCodeOf(raced, 'BucketAlreadyOwnedByYou', 'BucketAlreadyExists', 'OperationAborted')) throw raced;
      });
    }
  }

  /** Unlike HEAD it tells a missing bucket from refused keys; and who may not list is told 403 for missing blobs. */
  private async probe(): Promise<void> {
    await this.once((client) => client.listObjectsV2Query(this.bucket, '', '', '', 1, ''), PING);
  }

  private async once<T>(work: (client: Client, signal: AbortSignal) => Promise<T>, bounds: Bounds): Promise<T> {
    const controller = new AbortController();
    const { signal } = bounds;
    const onAbort = () => controller.abort(signal?.reason);
    if (this.closed) throw new Error('the blob store is closed');
    signal?.throwIfAborted();
    signal?.addEventListener('abort', onAbort, { once: true });
    const timer = setTimeout(() => controller.abort(new Error('S3 did not answer in time')), bounds.timeoutMs);
    this.running.add(controller);
    try {
      const scope = { signal: controller.signal, idleMs: bounds.idleMs };
      return await unless(
        controller.signal,
        attempts.run(scope, async () => work(await this.open(), controller.signal)),
      );
    } finally {
      clearTimeout(timer);
      this.running.delete(controller);
      signal?.removeEventListener('abort', onAbort);
    }
  }
}

/** The running try: minio's calls take neither a signal nor a time-out, but its transport does. */
const attempts = new AsyncLocalStorage<{ readonly signal: AbortSignal; readonly idleMs: number }>();

/** Statuses that minio makes an error of without reading the answer. */
const UNREAD = new Set([408, 429, 499, 500, 502, 503, 504, 520]);

function boundedTransport(base: typeof http | typeof https): ClientOptions['transport'] {
  const request = (options: https.RequestOptions, callback: (response: http.IncomingMessage) => void) => {
    const attempt = attempts.getStore();
    const bounded = { ...options, signal: attempt?.signal, timeout: attempt?.idleMs };
    const outgoing = base.request(bounded, (response) => {
      // An answer that nobody reads keeps its socket for ever.
      if (UNREAD.has(response.statusCode!)) response.resume();
      callback(response);
    });
    outgoing.on('timeout', () => outgoing.destroy(new Error('S3 fell silent')));
    return outgoing;
  };
  return { request } as ClientOptions['transport'];
}
