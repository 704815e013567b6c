import type { BlobStore } from '#blobs';
import type { Bus } from '#bus';
import type { Catalog } from '#catalog';
import type { Upstream } from '#upstream';
import type { ContentChecks } from '../content-rules.js';
import type { Log } from '../ports.js';
import type { FactCache } from '../serve/fact-cache.js';
import type { DownloadOptions } from '../transfers/download-options.js';
import type { Transfers } from '../transfers/transfers.js';
import type { WorkerEvents } from './worker-events.js';

export interface WorkerOptions {
  /** Unique per process life. */
  readonly worker: string;
  /** Milliseconds that a silent worker keeps a pull. */
  readonly lease: number;
  /** Lost leases of one pull before it is given up. */
  readonly attempts: number;
  /** Where other processes read our transfers; empty when there are none. */
  readonly relayUrl: string;
  /** For blobs of this upstream. */
  download(upstream: string): DownloadOptions;
  readonly prefetch: {
    readonly enabled: boolean;
    readonly platforms: readonly string[];
    readonly referrers: boolean;
  };
  /** Milliseconds that an interactive transfer goes on without any reader. */
  readonly unreadFor: number;
  /** Milliseconds without a first byte after which a fetch is given up, so that the next request starts afresh. */
  readonly firstByteWithin: number;
}

export interface WorkerPorts {
  readonly catalog: Catalog;
  readonly blobs: BlobStore;
  readonly bus: Bus;
  readonly upstream: Upstream;
  readonly transfers: Transfers;
  readonly content: ContentChecks;
  /** The memory of a gateway in the same process, which then need not look up what was just brought. */
  readonly facts?: FactCache;
  readonly log: Log;
  readonly events?: WorkerEvents;
}
