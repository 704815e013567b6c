import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer, type Server as SecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { RelayAddress } from '#bus';
import { Failure } from '#oci';
import type { Log, Relays } from '#registry';
import { type CertificateFiles, readCertificates, watchCertificates } from '#tls';

/** Bytes; absent in the answer to HEAD while the upstream has not told. */
export const SIZE_HEADER = 'x-transfer-size';

const HTTP = { keepAliveTimeout: 60_000, headersTimeout: 65_000, requestTimeout: 0 };

/**
 * The puller's internal port: running transfers, read from any offset.
 *
 *   HEAD /transfers/<id>                               -> 200, x-transfer-size
 *   GET  /transfers/<id>?offset=O&length=L[&bounded=1] -> 200, exactly L bytes as they arrive, or a reset
 *
 * Both need `Authorization: Bearer <the transfer's token>`; without it a transfer does not exist (404). With TLS and an authority
 * of its own, gateways have to show a certificate that it signed.
 */
export class RelayServer {
  private readonly server: Server | SecureServer;
  private readonly unwatch: () => void = () => {};

  /** Throws Error when certificates cannot be read. */
  constructor(
    private readonly transfers: Relays,
    private readonly log: Log,
    tls?: CertificateFiles,
  ) {
    const listener = (req: IncomingMessage, res: ServerResponse) => {
      this.answer(req, res).catch((error: unknown) => this.fail(res, error));
    };
    if (tls) {
      const check = tls.ca !== undefined;
      const clients = { requestCert: check, rejectUnauthorized: check };
      const server = createSecureServer({ ...HTTP, ...readCertificates(tls), ...clients }, listener);
      this.unwatch = watchCertificates(tls, (certificates) => server.setSecureContext(certificates), log);
      this.server = server;
    } else this.server = createServer(HTTP, listener);
  }

  async listen(port: number, host: string): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(port, host, resolve);
    });
    return (this.server.address() as AddressInfo).port;
  }

  /** Cuts every reader: they go on elsewhere at their offset. */
  async close(): Promise<void> {
    this.unwatch();
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    this.server.closeAllConnections();
    await closed;
  }

  private async answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const url = new URL(req.url ?? '/', 'http://relay');
    const id = /^\/transfers\/([0-9a-f-]{36})$/.exec(url.pathname)?.[1];
    const token = /^Bearer (.+)$/.exec(req.headers.authorization ?? '')?.[1];
    if (!id || !token || (req.method !== 'GET' && req.method !== 'HEAD')) return void res.writeHead(404).end();
    const address: RelayAddress = { url: '', transfer: id, token };
    const transfer = await this.transfers.attach(address);
    const size = await transfer.size();
    if (req.method === 'HEAD') return void res.writeHead(200, { [SIZE_HEADER]: size, 'content-length': 0 }).end();

    const offset = Number(url.searchParams.get('offset'));
    const length = Number(url.searchParams.get('length'));
    if (
      !Number.isSafeInteger(offset) ||
      !Number.isSafeInteger(length) ||
      offset < 0 ||
      length < 1 ||
      offset + length > size
    ) {
      return void res.writeHead(416).end();
    }
    const gone = new AbortController();
    res.once('close', () => gone.abort(new Failure('UNAVAILABLE', 'the reader left')));
    res.writeHead(200, { [SIZE_HEADER]: size, 'content-length': length, 'content-type': 'application/octet-stream' });
    res.flushHeaders();
    const sink = {
      write: (chunk: Buffer) =>
        new Promise<void>((resolve, reject) => {
          res.write(chunk, (error) => (error ? reject(error) : resolve()));
        }),
    };
    await transfer.read({ offset, length }, sink, { signal: gone.signal, bounded: url.searchParams.has('bounded') });
    res.end();
  }

  private fail(res: ServerResponse, error: unknown): void {
    const failure = Failure.of(error);
    if (failure.reason === 'INTERNAL') this.log.debug({ error: String(failure.cause) }, 'relay reader ended');
    if (res.headersSent) res.destroy();
    else res.writeHead(404, { 'content-length': 0 }).end();
  }
}
