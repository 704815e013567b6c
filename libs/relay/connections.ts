import { Agent, type ClientRequest, request } from 'node:http';
import { Agent as TlsAgent, request as tlsRequest } from 'node:https';
import type { RelayAddress } from '#bus';
import type { Log } from '#registry';
import { type CertificateFiles, readCertificates, watchCertificates } from '#tls';

export interface RelayTls extends CertificateFiles {
  /** The name in the pullers' certificates, where it is not that of their addresses. */
  readonly serverName?: string;
}

const POOL = { keepAlive: true, maxSockets: 1024 };

/** Kept-alive connections to the relays of pullers, plain or by TLS as each one's address says. */
export class RelayConnections {
  private readonly plain = new Agent(POOL);
  private secure = new TlsAgent(POOL);
  private readonly unwatch: () => void = () => {};

  /** Without `tls` the system's authorities vouch for a relay that has it. Throws Error when files cannot be read. */
  constructor(tls: RelayTls | undefined, log: Log) {
    if (!tls) return;
    const use = (certificates: object) => {
      // What runs on connections of the old ones ends there.
      this.secure = new TlsAgent({ ...POOL, ...certificates, servername: tls.serverName });
    };
    use(readCertificates(tls));
    this.unwatch = watchCertificates(tls, use, log);
  }

  /** Asks for a transfer; `query` with its `?`, `timeout` in milliseconds without a byte. The caller ends it. */
  request(address: RelayAddress, method: 'GET' | 'HEAD', query: string, timeout: number): ClientRequest {
    const url = new URL(`/transfers/${address.transfer}${query}`, address.url);
    const options = { method, headers: { authorization: `Bearer ${address.token}` }, timeout };
    if (url.protocol === 'https:') return tlsRequest(url, { ...options, agent: this.secure });
    return request(url, { ...options, agent: this.plain });
  }

  close(): void {
    this.unwatch();
    this.plain.destroy();
    this.secure.destroy();
  }
}
