import { LRUCache } from 'lru-cache';
import { atMost, PeriodicWriter } from '#async';
import type { Access, Catalog } from '#catalog';
import { type Digest, formatRepository, type Repository } from '#oci';
import type { Log } from '../ports.js';

export interface AccessTimesOptions<Request> {
  /** Milliseconds between two writes. */
  readonly flushEvery: number;
  /** Milliseconds within which accesses of the same content count as one. */
  readonly resolution: number;
  /** Who made a request, for people; asked only for what is written down. */
  readonly clientOf: (request: Request) => string;
}

/** Contents that wait for the next write; what comes on top is not noted this time. */
const MOST_WAITING = 50_000;
const REMEMBERED = 100_000;

/** What was served when, collected in memory and written in batches: no read waits for it or writes by itself. */
export class AccessTimes<Request> extends PeriodicWriter {
  private waiting = new Map<string, Access>();
  /** Written or waiting lately. */
  private readonly recent: LRUCache<string, true>;

  constructor(
    private readonly catalog: Pick<Catalog, 'touch'>,
    private readonly log: Log,
    private readonly options: AccessTimesOptions<Request>,
  ) {
    super(options.flushEvery);
    this.recent = new LRUCache({ ...atMost(REMEMBERED), ttl: options.resolution, ttlResolution: 1000 });
  }

  note(repository: Repository, digest: Digest, request: Request): void {
    const key = `${formatRepository(repository)}@${digest}`;
    if (this.recent.has(key) || this.waiting.size >= MOST_WAITING) return;
    this.recent.set(key, true);
    this.waiting.set(key, { repository, digest, at: new Date(), client: this.options.clientOf(request) });
  }

  protected async write(): Promise<void> {
    if (this.waiting.size === 0) return;
    const batch = this.waiting;
    this.waiting = new Map();
    try {
      await this.catalog.touch([...batch.values()]);
    } catch (error) {
      this.log.debug({ error: String(error), waiting: batch.size }, 'cannot write access times, trying again');
      for (const [key, access] of this.waiting) batch.set(key, access);
      this.waiting = batch;
    }
  }
}
