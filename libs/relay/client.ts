import { LRUCache } from 'lru-cache';
import type { RelayAddress } from '#bus';
import { Failure } from '#oci';
import type { Log, Relays, RunningTransfer } from '#registry';
import { RelayConnections, type RelayTls } from './connections.js';
import { RelayedTransfer } from './relayed-transfer.js';
import { SIZE_HEADER } from './server.js';

const CONNECT_MS = 3000;

export interface RelayOptions {
  /** Milliseconds without a byte after which the puller counts as gone. */
  readonly idleTimeout: number;
  readonly tls?: RelayTls;
  readonly log: Log;
}

/** Reads the transfers of pullers over HTTP; those of this process through `local`. */
export class HttpRelays implements Relays {
  private readonly connections: RelayConnections;
  /** By transfer; bounded, since who only wanted the size never reads. */
  private readonly attached = new LRUCache<string, Promise<RelayedTransfer>>({ max: 1000 });

  constructor(
    private readonly local: Relays,
    private readonly options: RelayOptions,
  ) {
    this.connections = new RelayConnections(options.tls, options.log);
  }

  /** All readers of one transfer in this process share what is attached. */
  attach(address: RelayAddress): Promise<RunningTransfer> {
    if (address.url === '') return this.local.attach(address);
    const known = this.attached.get(address.transfer);
    if (known) return known;
    const attaching = this.head(address).then(
      (size) =>
        new RelayedTransfer(address, size, this.connections, this.options.idleTimeout, () => {
          this.attached.delete(address.transfer);
        }),
    );
    this.attached.set(address.transfer, attaching);
    attaching.catch(() => this.attached.delete(address.transfer));
    return attaching;
  }

  close(): void {
    this.connections.close();
  }

  private head(address: RelayAddress): Promise<number> {
    return new Promise((resolve, reject) => {
      const refuse = (message: string) => reject(new Failure('UNAVAILABLE', message, { retryable: true }));
      const req = this.connections.request(address, 'HEAD', '', CONNECT_MS);
      req.on('response', (res) => {
        res.resume();
        const size = Number(res.headers[SIZE_HEADER]);
        if (res.statusCode === 200 && Number.isSafeInteger(size)) resolve(size);
        else refuse('the transfer is not there');
      });
      req.on('timeout', () => req.destroy(new Error('timeout')));
      req.on('error', () => refuse('the puller cannot be reached'));
      req.end();
    });
  }
}
