import type { Sink } from '#blobs';
import { type Digest, etagMatches, Failure, parseRange, type Repository, type ResolvedRange, resolveRange } from '#oci';
import type { Registry } from '#registry';
import { API_VERSION, sendJson } from './json-response.js';
import { timingOf } from './observation.js';
import { contextOf, type Exchange } from './pull-api.js';

/** A whole blob or one range of it (WIRE A62-A87). Rejects after the headers only for the caller to cut the connection. */
export async function sendBlob(
  exchange: Exchange,
  repository: Repository,
  digest: Digest,
  registry: Registry,
): Promise<void> {
  const { req, res, head, account } = exchange;
  account.kind = 'blob';
  account.repository = repository;
  account.reference = digest;
  const gone = new AbortController();
  res.once('close', () => gone.abort(new Failure('UNAVAILABLE', 'the client left')));
  const blob = await registry.blob(repository, digest, contextOf(exchange, gone.signal));
  account.hit = blob.cached;
  account.outcome = blob.origin;
  account.digest = digest;
  const known = req.headers['if-none-match'];
  if (known !== undefined && etagMatches(known, digest)) {
    res.writeHead(304, headersOf(exchange, digest)).end();
    return;
  }
  const range = head ? undefined : rangeOf(exchange, digest, blob.size);
  if (range === 'unsatisfiable') {
    const body = JSON.stringify({
      errors: [{ code: 'UNSUPPORTED', message: 'requested range not satisfiable', detail: null }],
    });
    return sendJson(exchange, 416, body, ['content-range', `bytes */${blob.size}`]);
  }
  const span = range ?? { offset: 0, length: blob.size, openEnded: true };
  const headers = [
    'content-type',
    'application/octet-stream',
    'content-length',
    String(span.length),
    ...headersOf(exchange, digest),
  ];
  if (range) headers.push('content-range', `bytes ${span.offset}-${span.offset + span.length - 1}/${blob.size}`);
  if (head || span.length === 0) {
    res.writeHead(200, headers).end();
    return;
  }
  await blob.read(span, new ResponseSink(exchange, range ? 206 : 200, headers), {
    signal: gone.signal,
    bounded: !span.openEnded,
  });
  res.end();
}

function headersOf(exchange: Exchange, digest: Digest): string[] {
  const headers = [
    'docker-content-digest',
    digest,
    'etag',
    `"${digest}"`,
    'accept-ranges',
    'bytes',
    'cache-control',
    'max-age=31536000, immutable',
    ...API_VERSION,
    ...timingOf(exchange),
  ];
  if (exchange.ns !== undefined) headers.push('oci-namespace', exchange.ns);
  return headers;
}

/** Undefined for a whole body: no range, one to be ignored, or If-Range about another representation. */
function rangeOf({ req }: Exchange, digest: Digest, size: number): ResolvedRange | 'unsatisfiable' | undefined {
  const spec = parseRange(req.headers.range);
  const condition = req.headers['if-range'];
  if (!spec || (condition !== undefined && condition !== `"${digest}"`)) return undefined;
  if (spec.kind === 'multi') throw new Failure('RANGES_UNSUPPORTED');
  return resolveRange(spec, size);
}

/** Writes to the client at its pace. Headers go with the first bytes, so that a failure before them keeps its meaning. */
class ResponseSink implements Sink {
  private started = false;

  constructor(
    private readonly exchange: Exchange,
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
    return new Promise((resolve, reject) => {
      // Read buffers are reused, so the next read waits until the kernel has these bytes.
      res.write(chunk, (error) => (error ? reject(error) : resolve()));
    });
  }
}
