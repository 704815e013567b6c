import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { within } from '#async';
import { Failure } from '#oci';
import { PullApi } from './pull-api.js';

/** What the pull API needs of HTTP that Node does otherwise (WIRE A76, A117, A118). */
const HTTP = {
  keepAliveTimeout: 130_000,
  headersTimeout: 135_000,
  // Long downloads have no total time-out; slow header senders are cut by headersTimeout.
  requestTimeout: 0,
  maxHeaderSize: 96 * 1024,
};

/** PEM texts. With `requestCert`, clients need a certificate that `ca` (or the system) signed. */
export interface ServerTls {
  readonly cert: string;
  readonly key: string;
  readonly ca?: string;
  readonly requestCert: boolean;
  readonly rejectUnauthorized: boolean;
}

/**
 * The registry port. Requests go straight from Node's server to the pull API: a framework between would cost most of a
 * warm hit, and would decode paths, add ETags and charsets.
 */
export class GatewayServer {
  private readonly server: Server;
  private stopping = false;

  constructor(api: PullApi, tls?: ServerTls) {
    const listener = (req: IncomingMessage, res: ServerResponse) => {
      if (this.stopping) res.setHeader('connection', 'close');
      api.handle(req, res);
    };
    this.server = tls ? createTlsServer({ ...HTTP, ...tls }, listener) : createServer(HTTP, listener);
    this.server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
      const status = error.code === 'HPE_HEADER_OVERFLOW' ? '431 Request Header Fields Too Large' : '400 Bad Request';
      socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
    });
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
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    // A kept-alive connection whose last answer has just ended would hold the server open for its whole time-out.
    const idle = setInterval(() => this.server.closeIdleConnections(), 50);
    await within(grace, closed, () => new Failure('UNAVAILABLE')).catch(() => this.server.closeAllConnections());
    await closed;
    clearInterval(idle);
  }
}
