import type { IncomingMessage, ServerResponse } from 'node:http';
import { createGzip } from 'node:zlib';
import type { BlobSource } from './blobs.js';
import type { Fault } from './faults.js';
import type { LoggedRequest, RequestLog } from './request-log.js';

export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly entry: LoggedRequest;
  readonly log: RequestLog;
  readonly fault: Fault & { bucket?: { free: number } };
}

const SMALL = 64 * 1024;

export type Headers = Record<string, string | string[] | undefined>;

/** `{ offset, length }` of a single range, 'unsatisfiable', or undefined where the whole is to be sent (RFC 9110 14.2). */
function rangeOf(
  header: string | undefined,
  size: number,
): { offset: number; length: number } | 'unsatisfiable' | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '');
  if (!match || (match[1] === '' && match[2] === '')) return undefined;
  if (match[1] === '') {
    const length = Math.min(Number(match[2]), size);
    return length === 0 ? 'unsatisfiable' : { offset: size - length, length };
  }
  const offset = Number(match[1]);
  const last = match[2] === '' ? size - 1 : Math.min(Number(match[2]), size - 1);
  if (match[2] !== '' && Number(match[2]) < offset) return undefined;
  return offset >= size ? 'unsatisfiable' : { offset, length: last - offset + 1 };
}

/** Sends (a range of) the source with whatever the fault does to it. */
export async function answerContent(exchange: Exchange, source: BlobSource, headers: Headers): Promise<void> {
  const { request, response, fault } = exchange;
  const head = request.method === 'HEAD';
  if (head && fault.noHead) return answer(exchange, 405, { allow: 'GET' }, '');
  const fields: Headers = { ...headers };
  if (fault.digest === null) delete fields['docker-content-digest'];
  else if (fault.digest !== undefined) fields['docker-content-digest'] = fault.digest;
  if (fault.contentType === null) delete fields['content-type'];
  else if (fault.contentType !== undefined) fields['content-type'] = fault.contentType;

  let status = 200;
  let span = { offset: 0, length: source.size };
  if (!fault.noRange && fields['accept-ranges']) {
    const ifRange = request.headers['if-range'];
    const range =
      ifRange === undefined || ifRange === fields.etag ? rangeOf(request.headers.range, source.size) : undefined;
    if (range === 'unsatisfiable') {
      return answer(exchange, 416, { 'content-range': `bytes */${source.size}` }, '');
    }
    if (range && !head) {
      status = 206;
      span = range;
      fields['content-range'] = `bytes ${span.offset}-${span.offset + span.length - 1}/${source.size}`;
    }
  } else {
    delete fields['accept-ranges'];
  }
  if (fault.empty) span = { offset: 0, length: 0 };
  const declared = span.length + (fault.extra ?? 0);
  if (fault.gzip) fields['content-encoding'] = 'gzip';
  else if (!fault.noLength) fields['content-length'] = String(declared);
  Object.assign(fields, fault.headers);
  writeHead(exchange, status, fields);
  if (head) return void response.end();
  // Small answers leave in one packet; a body that waits must not hold its headers back.
  if (span.length > SMALL || fault.stall || fault.rate || fault.totalRate) response.flushHeaders();
  await sendBody(exchange, source, span);
}

/** A short answer that is no content. */
export function answer(exchange: Exchange, status: number, headers: Headers, body: string | Buffer): void {
  const bytes = Buffer.from(body);
  writeHead(exchange, status, { 'content-length': String(bytes.length), ...headers });
  exchange.entry.sent += bytes.length;
  if (exchange.request.method === 'HEAD') exchange.response.end();
  else exchange.response.end(bytes);
}

export function answerError(exchange: Exchange, status: number, code: string, headers: Headers = {}): void {
  const body = JSON.stringify({ errors: [{ code, message: code.toLowerCase().replace('_', ' ') }] });
  answer(exchange, status, { 'content-type': 'application/json', ...headers }, body);
}

function writeHead({ response, entry, log }: Exchange, status: number, headers: Headers): void {
  entry.status = status;
  for (const [name, value] of Object.entries(headers)) if (value !== undefined) response.setHeader(name, value);
  response.writeHead(status);
  log.changed();
}

async function sendBody(
  exchange: Exchange,
  source: BlobSource,
  span: { offset: number; length: number },
): Promise<void> {
  const { response, entry, fault } = exchange;
  const sink = fault.gzip ? createGzip() : response;
  if (sink !== response) sink.pipe(response);
  const pace = pacer(fault);
  let sent = 0;
  const put = async (chunk: Buffer) => {
    entry.sent += chunk.length;
    sent += chunk.length;
    if (!sink.write(chunk)) await drained(response, sink);
  };
  for (const whole of pieces(source, span, fault)) {
    let chunk = whole;
    while (chunk.length > 0) {
      if (response.destroyed) return;
      let most = pace ? Math.min(chunk.length, pace.piece) : chunk.length;
      if (fault.truncate !== undefined) {
        if (sent >= fault.truncate) break;
        most = Math.min(most, fault.truncate - sent);
      }
      if (fault.stall && sent <= fault.stall.at) {
        if (sent === fault.stall.at) await closedOr(response, fault.stall.open ?? new Promise(() => {}));
        else most = Math.min(most, fault.stall.at - sent);
      }
      await pace?.wait(most);
      if (response.destroyed) return;
      await put(chunk.subarray(0, most));
      chunk = chunk.subarray(most);
    }
    if (fault.truncate !== undefined && sent >= fault.truncate) break;
  }
  if (fault.truncate !== undefined) return cut(response);
  if (fault.stall?.at === sent && sent > 0) await closedOr(response, fault.stall.open ?? new Promise(() => {}));
  sink.end();
}

function* pieces(
  source: BlobSource,
  { offset, length }: { offset: number; length: number },
  fault: Fault,
): Iterable<Buffer> {
  let at = offset;
  for (const chunk of source.chunks(offset, length)) {
    if (fault.flip !== undefined && fault.flip >= at && fault.flip < at + chunk.length) {
      const changed = Buffer.from(chunk);
      changed[fault.flip - at] = ~(changed[fault.flip - at] as number) & 0xff;
      yield changed;
    } else {
      yield chunk;
    }
    at += chunk.length;
  }
  if (fault.extra) yield Buffer.alloc(fault.extra, 0x78);
}

/** Ends the connection after what was written has gone out, in the middle of the body. */
function cut(response: ServerResponse): void {
  response.socket?.destroySoon();
}

function drained(response: ServerResponse, sink: NodeJS.EventEmitter): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      sink.off('drain', done);
      response.off('close', done);
      resolve();
    };
    sink.on('drain', done);
    response.on('close', done);
    if (response.destroyed) done();
  });
}

/** Resolves with the promise, or when the client is gone. */
export function closedOr(response: ServerResponse, promise: Promise<unknown>): Promise<unknown> {
  if (response.destroyed) return Promise.resolve();
  return Promise.race([promise, new Promise<void>((resolve) => response.once('close', resolve))]);
}

const TICKS_PER_SECOND = 50;

/** Bounds the rate of this answer (`rate`) and of all answers of the fault (`totalRate`), in pieces of a fiftieth second. */
function pacer(fault: Exchange['fault']): { piece: number; wait(bytes: number): Promise<void> } | undefined {
  const { rate = Infinity, totalRate = Infinity, bucket = { free: 0 } } = fault;
  if (rate === Infinity && totalRate === Infinity) return undefined;
  const own = { free: 0 };
  const due = (line: { free: number }, bytes: number, perSecond: number) => {
    const now = performance.now();
    const start = Math.max(line.free, now);
    line.free = start + (bytes / perSecond) * 1000;
    return start - now;
  };
  return {
    piece: Math.max(1, Math.ceil(Math.min(rate, totalRate) / TICKS_PER_SECOND)),
    async wait(bytes) {
      const ms = Math.max(due(own, bytes, rate), due(bucket, bytes, totalRate));
      if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
    },
  };
}
