import net from 'node:net';
import tls from 'node:tls';
import { Deferred, unless } from '#async';
import type { Sink } from '../port.js';

/** Bytes that one read of a socket may bring; each connection has one buffer of this size. */
const READ = 256 * 1024;
const MAX_HEAD = 64 * 1024;
const MAX_ERROR = 64 * 1024;
/** Connections that wait for their next request, and for how long: shorter than servers keep theirs (20 s and more). */
const MOST_IDLE = 16;
const IDLE_MS = 15_000;

interface Head {
  readonly status: number;
  /** By lower-case name. */
  readonly headers: ReadonlyMap<string, string>;
}

/** An answer whose head has come; its body must be read, or dropped. */
export interface ObjectBody extends Head {
  /**
   * Feeds the body to the sink at the sink's pace; the chunks are only valid until it has taken them. Resolves with the bytes of
   * it. Rejects with BodyBroke when the connection breaks or brings nothing for `idleMs` while the sink waits, with the sink's
   * error, or with the signal's reason; what the sink was given before is all in order.
   */
  pump(sink: Sink, idleMs: number, signal?: AbortSignal): Promise<number>;
  /** The body as text, of errors. */
  text(): Promise<string>;
  drop(): void;
}

/**
 * GETs of objects, read from the socket into one reused buffer. Node's HTTP client (and undici) allocate every chunk and pass it
 * through a stream: a third of the throughput is left, measured.
 */
export class ObjectReader {
  private readonly idle: Connection[] = [];
  private closed = false;

  /** `ca`: PEM certificates instead of the well-known ones. */
  constructor(private readonly ca?: readonly string[]) {}

  /** `url` says who may read it; `headers` are sent as they are. Rejects when no answer's head comes, or at the signal. */
  async get(url: URL, headers: readonly string[], signal?: AbortSignal): Promise<ObjectBody> {
    const text = `GET ${url.pathname}${url.search} HTTP/1.1\r\nHost: ${url.host}\r\n${headers.map((line) => `${line}\r\n`).join('')}\r\n`;
    for (;;) {
      if (this.closed) throw new Error('the blob store is closed');
      signal?.throwIfAborted();
      const place = this.idle.findLastIndex(({ origin }) => origin === url.origin);
      const kept = place < 0 ? undefined : this.idle.splice(place, 1)[0];
      const connection = kept ?? new Connection(url, this.ca);
      try {
        await unless(signal, connection.ask(text));
        return this.bodyOf(connection);
      } catch (error) {
        connection.destroy(error as Error);
        // It may have been closed at the other end just now; a new one tells.
        if (!kept || signal?.aborted || connection.answered) throw error;
      }
    }
  }

  close(): void {
    this.closed = true;
    for (const connection of this.idle.splice(0)) connection.destroy();
  }

  private bodyOf(connection: Connection): ObjectBody {
    const { status, headers } = connection.head!;
    const finished = () => {
      if (this.closed || this.idle.length >= MOST_IDLE || !connection.reusable) return connection.destroy();
      this.idle.push(connection);
      connection.rest(() => {
        const place = this.idle.indexOf(connection);
        if (place >= 0) this.idle.splice(place, 1);
      });
    };
    const pump = async (sink: Sink, idleMs: number, signal?: AbortSignal) => {
      const length = await connection.pump(sink, idleMs, signal);
      finished();
      return length;
    };
    const text = async () => {
      const chunks: Buffer[] = [];
      let left = MAX_ERROR;
      const sink = {
        write(chunk: Buffer) {
          left -= chunk.length;
          if (left < 0) throw new Error('S3 answered with an error that is too long');
          chunks.push(Buffer.from(chunk));
        },
      };
      await pump(sink, IDLE_MS);
      return Buffer.concat(chunks).toString();
    };
    return { status, headers, pump, text, drop: () => connection.destroy() };
  }
}

/** The connection failed in the middle of a body; neither the sink did, nor did the reader leave. */
export class BodyBroke extends Error {
  constructor(cause: Error) {
    super('the body broke off', { cause });
  }
}

/** One connection, one request at a time. */
class Connection {
  head: Head | undefined;
  /** A byte of an answer has come, so that the request was received. */
  answered = false;
  private readonly socket: net.Socket;
  /** Of the head, or of the body that came along with it. */
  private early: Buffer = Buffer.alloc(0);
  private asking: Deferred<void> | undefined;
  private reading: { readonly take: (chunk: Buffer) => boolean; readonly broke: () => void } | undefined;
  private onGone: (() => void) | undefined;
  private gone: Error | undefined;

  readonly origin: string;

  constructor(url: URL, ca?: readonly string[]) {
    this.origin = url.origin;
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const secure = url.protocol === 'https:';
    const port = Number(url.port) || (secure ? 443 : 80);
    if (secure) {
      const identity = { ...(net.isIP(host) ? {} : { servername: host }), ...(ca ? { ca: [...ca] } : {}) };
      // Without a buffer of ours: decrypted bytes go on coming into it while its reader has not finished with it.
      this.socket = tls.connect({ host, port, ...identity }).on('data', (chunk: Buffer) => {
        if (!this.take(chunk)) this.socket.pause();
      });
    } else {
      const buffer = Buffer.allocUnsafeSlow(READ);
      const callback = (count: number) => this.take(buffer.subarray(0, count));
      this.socket = net.connect({ host, port, noDelay: true, onread: { buffer, callback } });
    }
    this.socket.on('error', (error) => this.end(error));
    this.socket.on('end', () => this.end(new Error('S3 closed the connection')));
    this.socket.on('close', () => this.end(new Error('S3 closed the connection')));
    this.socket.on('timeout', () => this.destroy());
  }

  /** Sends a request. Resolves when the head of its answer is there. */
  ask(request: string): Promise<void> {
    this.head = undefined;
    this.answered = false;
    this.onGone = undefined;
    this.early = Buffer.alloc(0);
    this.asking = new Deferred();
    this.socket.setTimeout(0).ref();
    if (this.gone) this.asking.reject(this.gone);
    else this.socket.write(request, 'latin1');
    return this.asking.promise;
  }

  /** The answer's length is known, and more may be asked on this connection. */
  get reusable(): boolean {
    return !this.gone && this.head?.headers.get('connection')?.toLowerCase() !== 'close';
  }

  /** Waits for the next request; `onGone` when it cannot any more. */
  rest(onGone: () => void): void {
    this.onGone = onGone;
    this.socket.setTimeout(IDLE_MS).unref();
  }

  destroy(error?: Error): void {
    this.socket.destroy();
    this.end(error ?? new Error('the connection was closed'));
  }

  pump(sink: Sink, idleMs: number, signal?: AbortSignal): Promise<number> {
    const length = Number(this.head?.headers.get('content-length') ?? Number.NaN);
    let left = length;
    return new Promise<number>((resolve, reject) => {
      let waiting = true;
      const timer = setTimeout(() => {
        if (waiting) this.destroy(new Error('S3 fell silent'));
        else timer.refresh();
      }, idleMs);
      const stop = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        this.reading = undefined;
      };
      const fail = (error: Error) => {
        stop();
        this.socket.destroy();
        reject(error);
      };
      const onAbort = () => fail(signal!.reason);
      const done = () => {
        stop();
        resolve(length);
      };
      /** Whether more may come now. */
      const take = (chunk: Buffer): boolean => {
        left -= chunk.length;
        if (left < 0) {
          this.destroy(new Error('S3 sent more than it announced'));
          return false;
        }
        let written: void | Promise<void>;
        try {
          written = sink.write(chunk);
        } catch (error) {
          fail(error as Error);
          return false;
        }
        if (!written) {
          if (left === 0) done();
          else timer.refresh();
          return true;
        }
        waiting = false;
        written.then(() => {
          if (this.reading?.take !== take) return;
          waiting = true;
          timer.refresh();
          if (left === 0) done();
          else if (this.gone) broke();
          // Also after the last byte: an idle connection must hear of its end.
          this.socket.resume();
        }, fail);
        return false;
      };
      // While the sink takes a chunk it is waited for: whoever goes on elsewhere must know what it has.
      const broke = () => {
        if (waiting) fail(new BodyBroke(this.gone!));
      };
      if (signal?.aborted) return fail(signal.reason);
      signal?.addEventListener('abort', onAbort, { once: true });
      if (!Number.isInteger(length)) return fail(new Error('S3 answered without a length'));
      this.reading = { take, broke };
      const { early } = this;
      this.early = Buffer.alloc(0);
      if (length === 0) {
        done();
        this.socket.resume();
      } else if (early.length > 0 ? take(early) : true) {
        if (this.gone && left > 0) broke();
        else this.socket.resume();
      }
    });
  }

  /** Bytes have come. Whether more may come now. */
  private take(chunk: Buffer): boolean {
    if (this.reading) return this.reading.take(chunk);
    if (!this.asking) {
      this.destroy(new Error('S3 said something that nobody asked for'));
      return false;
    }
    this.answered = true;
    this.early = Buffer.concat([this.early, chunk]);
    const end = this.early.indexOf('\r\n\r\n');
    if (end < 0 && this.early.length <= MAX_HEAD) return true;
    this.head = end < 0 ? undefined : parseHead(this.early.subarray(0, end).toString('latin1'));
    if (!this.head) {
      this.destroy(new Error('S3 answered with something else than HTTP'));
      return false;
    }
    // A copy of its own: the body that came along waits for its reader.
    this.early = this.early.subarray(end + 4);
    this.asking.resolve();
    this.asking = undefined;
    return false;
  }

  private end(error: Error): void {
    this.gone ??= error;
    this.asking?.reject(this.gone);
    this.asking = undefined;
    this.reading?.broke();
    this.onGone?.();
    this.onGone = undefined;
  }
}

function parseHead(text: string): Head | undefined {
  const [first = '', ...lines] = text.split('\r\n');
  const status = Number(/^HTTP\/1\.[01] ([2-5][0-9]{2})(?: |$)/.exec(first)?.[1]);
  if (!status) return undefined;
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (colon > 0) headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  return { status, headers };
}
