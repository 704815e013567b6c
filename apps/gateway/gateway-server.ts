import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createSecureServer, type Http2SecureServer, type ServerHttp2Session } from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import { within } from '#async';
import { Failure } from '#oci';
import type { Log } from '#registry';
import { type CertificateFiles, readCertificates, watchCertificates } from '#tls';
import { PullApi } from './pull-api.js';

/** What the pull API needs of HTTP that Node does otherwise (WIRE A76, A117, A118). Milliseconds and bytes. */
const HTTP = {
  keepAliveTimeout: 130_000,
  headersTimeout: 135_000,
  // Long downloads have no total time-out; slow header senders are cut by headersTimeout, which is looked at now and then.
  connectionsCheckingInterval: 30_000,
  requestTimeout: 0,
  maxHeaderSize: 96 * 1024,
};

const TOO_LONG = parserAnswer('431 Request Header Fields Too Large', 'the request headers are too long');
const UNREADABLE = parserAnswer('400 Bad Request', 'the request is no HTTP');

const refusals: ReadonlyMap<string, string> = new Map([
  ['HPE_HEADER_OVERFLOW', TOO_LONG],
  // After a request that said `Connection: close`; it has its answer.
  ['HPE_CLOSED_CONNECTION', ''],
]);

/** What is answered to bytes that Node's parser refuses; no request ever comes of them. */
function parserAnswer(status: string, message: string): string {
  const body = JSON.stringify({ errors: [{ code: 'UNSUPPORTED', message, detail: null }] });
  const headers = `Content-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close`;
  return `HTTP/1.1 ${status}\r\n${headers}\r\n\r\n${body}`;
}

/** With `verify`, clients need a certificate that `ca` (or the system) signed. */
export interface TlsFiles extends CertificateFiles {
  readonly verify: boolean;
}

/**
 * Ends a connection whose bytes are no HTTP. The answers to what came before them are finished first: the refusal would
 * else stand in the middle of one, for its client bytes like any other.
 */
function refuse(
  error: NodeJS.ErrnoException,
  socket: Socket & { readonly _httpMessage?: ServerResponse | null },
): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  // Node reports everything that it reads from now on.
  socket.pause();
  const end = () => {
    // The answer under way, by the name that Node's own refusal knows it by.
    const answer = socket._httpMessage;
    if (answer) answer.once('finish', end);
    else if (socket.writable) socket.end(refusals.get(error.code ?? '') ?? UNREADABLE);
  };
  end();
}

interface TlsOptions extends TlsFiles {
  /** Milliseconds between looks at the files. */
  readonly lookMs?: number;
}

/**
 * The registry port. Requests go straight from Node's server to the pull API: a framework between would cost most of a
 * warm hit, and would decode paths, add ETags and charsets. With TLS it speaks HTTP/2 too (WIRE A121).
 */
export class GatewayServer {
  private readonly server: Server | Http2SecureServer;
  private readonly sockets = new Set<Socket>();
  private readonly sessions = new Set<ServerHttp2Session>();
  private readonly unwatch: () => void = () => {};
  private stopping = false;

  /** Throws Error when certificates cannot be read. */
  constructor(api: PullApi, log: Log, tls?: TlsOptions, timeouts: Partial<typeof HTTP> = {}) {
    const http = { ...HTTP, ...timeouts };
    const listener = (req: IncomingMessage, res: ServerResponse) => {
      if (this.stopping && req.httpVersionMajor === 1) res.setHeader('connection', 'close');
      api.handle(req, res);
    };
    if (tls) {
      const server = this.secure(tls, http);
      // The compatibility API of HTTP/2 is that of HTTP/1 in everything that the pull API does.
      server.on('request', listener as never).on('checkContinue', listener as never);
      this.unwatch = watchCertificates(tls, (certificates) => server.setSecureContext(certificates), log, tls.lookMs);
      this.server = server;
    } else {
      // Whoever asks before sending a body is answered, not invited (WIRE A114).
      this.server = createServer(http, listener).on('checkContinue', listener);
    }
    this.server.on('connection', (socket: Socket) => {
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
    });
    this.server.on('clientError', refuse);
  }

  async listen(port: number, host: string): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen({ port, host, backlog: 4096 }, resolve);
    });
    return (this.server.address() as AddressInfo).port;
  }

  /** Takes no more connections and lets what runs finish, for at most `grace` ms; then cuts. */
  async stop(grace: number): Promise<void> {
    this.stopping = true;
    this.unwatch();
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    for (const session of this.sessions) session.close();
    // A kept-alive connection whose last answer has just ended would hold the server open for its whole time-out.
    const idle = setInterval(() => (this.server as Server).closeIdleConnections(), 50);
    await within(grace, closed, () => new Failure('UNAVAILABLE')).catch(() => {
      for (const socket of this.sockets) socket.destroy();
    });
    await closed;
    clearInterval(idle);
  }

  private secure(tls: TlsFiles, http: typeof HTTP): Http2SecureServer {
    const server = createSecureServer({
      ...readCertificates(tls),
      requestCert: tls.verify,
      rejectUnauthorized: tls.verify,
      allowHTTP1: true,
      settings: { maxHeaderListSize: http.maxHeaderSize },
    });
    // Not options of this server, but what its HTTP/1 half reads.
    Object.assign(server, http);
    return server.on('session', (session: ServerHttp2Session) => {
      this.sessions.add(session);
      session.once('close', () => this.sessions.delete(session));
      session.on('error', () => {});
    });
  }
}
