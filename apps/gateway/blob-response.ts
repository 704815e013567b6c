import type { Sink } from '#blobs';
import { type Digest, etagMatches, Failure, parseRange, type Repository, type ResolvedRange, resolveRange } from '#oci';
import type { Registry } from '#registry';
import { API_VERSION, sendJson } from './json-response.js';
import { timingOf } from './observation.js';
import { contextOf, type Exchange } from './pull-api.js';
import type { Turns } from './turns.js';

/** How long a client that was sent to the store may still begin to read, at least 300 s (WIRE A91). */
const LINK_SECONDS = 1200;

interface BlobService {
  readonly registry: Registry;
  /** Clients are sent to the blob store for stored blobs. */
  readonly redirects: boolean;
  /** Of all streams of this process. */
  readonly turns: Turns;
}

/** What is to be sent: the answer's head, and of a body its place. */
interface Plan {
  readonly status: number;
  readonly headers: string[];
  readonly span?: ResolvedRange;
}

/** A blob from memory. */
export function sendBlobBytes(exchange: Exchange, repository: Repository, digest: Digest, bytes: Buffer): void {
  const { res, account } = exchange;
  describe(exchange, repository, digest);
  account.digest = digest;
  const plan = planOf(exchange, digest, bytes.length);
  if (!plan) return;
  res.writeHead(plan.status, plan.headers);
  if (!plan.span) return void res.end();
  account.bytes += plan.span.length;
  const { offset, length } = plan.span;
  res.end(length === bytes.length ? bytes : bytes.subarray(offset, offset + length));
}

/** A whole blob or one range of it (WIRE A62-A87). Rejects after the headers only for the caller to cut the connection. */
export async function sendBlob(
  exchange: Exchange,
  repository: Repository,
  digest: Digest,
  { registry, redirects, turns }: BlobService,
): Promise<void> {
  const { res, account } = exchange;
  describe(exchange, repository, digest);
  const context = contextOf(exchange);
  const blob = await registry.blob(repository, digest, context);
  account.hit = blob.cached;
  account.outcome = blob.origin;
  if (blob.source) account.source = blob.source;
  account.digest = digest;
  const plan = planOf(exchange, digest, blob.size);
  if (!plan) return;
  const link = plan.span && redirects ? await blob.link(LINK_SECONDS) : undefined;
  if (link !== undefined) {
    sendLink(exchange, digest, link);
    return;
  }
  if (plan.span) {
    const sink = new ResponseSink(exchange, turns, plan.status, plan.headers);
    try {
      await blob.read(plan.span, sink, { signal: context.signal, bounded: !plan.span.openEnded });
    } finally {
      turns.ended(plan.span.length);
    }
  } else res.writeHead(plan.status, plan.headers);
  res.end();
}

/** One hop to the store, absolute, for a GET alone (WIRE A90). A Range goes there with the client's next request. */
function sendLink(exchange: Exchange, digest: Digest, link: string): void {
  const { res } = exchange;
  const headers = ['content-length', '0', 'location', link, 'docker-content-digest', digest];
  // What is kept longer than the link would lead nowhere.
  headers.push('cache-control', 'no-store', ...API_VERSION);
  addOwn(headers, exchange);
  res.writeHead(307, headers).end();
}

function describe({ account }: Exchange, repository: Repository, digest: Digest): void {
  account.kind = 'blob';
  account.repository = repository;
  account.reference = digest;
}

/** Undefined when it was answered already. */
function planOf(exchange: Exchange, digest: Digest, size: number): Plan | undefined {
  const { req, head } = exchange;
  const known = req.headers['if-none-match'];
  if (known !== undefined && etagMatches(known, digest)) {
    const headers = blobHeaders(digest, size).slice(4);
    addOwn(headers, exchange);
    return { status: 304, headers };
  }
  const range = head ? undefined : rangeOf(exchange, digest, size);
  if (range === 'unsatisfiable') {
    const body = JSON.stringify({
      errors: [{ code: 'UNSUPPORTED', message: 'requested range not satisfiable', detail: null }],
    });
    sendJson(exchange, 416, body, ['content-range', `bytes */${size}`]);
    return undefined;
  }
  const span = range ?? { offset: 0, length: size, openEnded: true };
  const headers = blobHeaders(digest, span.length);
  addOwn(headers, exchange);
  if (head || span.length === 0) return { status: 200, headers };
  if (!range) return { status: 200, headers, span };
  headers.push('content-range', `bytes ${span.offset}-${span.offset + span.length - 1}/${size}`);
  return { status: 206, headers, span };
}

/** What is said of `length` bytes of a blob; the first four describe a body. */
export function blobHeaders(digest: Digest, length: number): string[] {
  return [
    'content-type',
    'application/octet-stream',
    'content-length',
    String(length),
    'docker-content-digest',
    digest,
    'etag',
    `"${digest}"`,
    'accept-ranges',
    'bytes',
    'cache-control',
    'max-age=31536000, immutable',
    ...API_VERSION,
  ];
}

/** What is said of this request alone. */
function addOwn(headers: string[], exchange: Exchange): void {
  headers.push(...timingOf(exchange));
  if (exchange.ns !== undefined) headers.push('oci-namespace', exchange.ns);
}

/** Undefined for a whole body: no range, one to be ignored, or If-Range about another representation. */
function rangeOf({ req }: Exchange, digest: Digest, size: number): ResolvedRange | 'unsatisfiable' | undefined {
  const spec = parseRange(req.headers.range);
  const condition = req.headers['if-range'];
  if (!spec || (condition !== undefined && condition !== `"${digest}"`)) return undefined;
  if (spec.kind === 'multi') throw new Failure('RANGES_UNSUPPORTED');
  return resolveRange(spec, size);
}

/** Writes to the client at its pace, in turn with other streams. Headers go with the first bytes, so that a failure before them keeps its meaning. */
class ResponseSink implements Sink {
  private started = false;

  constructor(
    private readonly exchange: Exchange,
    private readonly turns: Turns,
    private readonly status: number,
    private readonly headers: string[],
  ) {}

  write(chunk: Buffer): Promise<void> {
    const { res, account } = this.exchange;
    account.bytes += chunk.length;
    if (!this.started) {
      this.started = true;
      res.writeHead(this.status, this.headers);
    }
    return this.send(chunk);
  }

  private async send(chunk: Buffer): Promise<void> {
    for (let sent = 0; sent < chunk.length; ) {
      const bytes = await this.turns.next(chunk.length - sent);
      const slice = chunk.subarray(sent, sent + bytes);
      await new Promise<void>((resolve, reject) => {
        // Read buffers are reused, so the next read waits until the kernel has these bytes.
        this.exchange.res.write(slice, (error) => (error ? reject(error) : resolve()));
      });
      sent += bytes;
    }
  }
}
