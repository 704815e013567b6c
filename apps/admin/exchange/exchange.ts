import { join } from 'node:path';
import type { OnModuleInit } from '@nestjs/common';
import type { HttpAdapterHost } from '@nestjs/core';
import { openScratch } from '#archive';
import type { Config } from '#config';
import { Failure } from '#oci';
import type { Log } from '#registry';
import type { Stack } from '#stack';
import { Inbox } from './inbox.js';

export const EXCHANGE = Symbol('exchange');

/** Each writes as fast as the disk takes it; more at a time make none of them faster. */
const MAX_IMPORTS = 2;
/** Types under which people send archives; any of them is looked into, not believed. */
const ARCHIVE_TYPES = ['application/x-tar', 'application/gzip', 'application/zstd', 'application/octet-stream'];

/** What we ask of Fastify. */
interface ParserRegistry {
  addContentTypeParser(
    types: readonly string[],
    parser: (request: unknown, payload: unknown, done: (error: null, body: unknown) => void) => void,
  ): void;
}

/** What imports and exports work with. */
export class Exchange implements OnModuleInit {
  readonly catalog: Stack['catalog'];
  readonly blobs: Stack['blobs'];
  readonly bus: Stack['bus'];
  /** Of names that tell no host. */
  readonly defaults: { readonly defaultHost?: string };
  readonly inbox: Inbox;
  private running = 0;

  constructor(
    private readonly config: Config,
    { catalog, blobs, bus }: Stack,
    readonly log: Log,
    private readonly http: HttpAdapterHost,
  ) {
    this.catalog = catalog;
    this.blobs = blobs;
    this.bus = bus;
    this.inbox = new Inbox(join(config.dataDir, 'inbox'));
    this.defaults = config.defaultNs ? { defaultHost: config.defaultNs } : {};
  }

  /** An archive goes to its controller as a stream. */
  async onModuleInit(): Promise<void> {
    await this.inbox.open().catch((error: unknown) => this.log.debug({ error: String(error) }, 'there is no inbox'));
    const fastify = this.http.httpAdapter.getInstance<ParserRegistry>();
    fastify.addContentTypeParser(ARCHIVE_TYPES, (_request, payload, done) => done(null, payload));
  }

  scratch() {
    return openScratch(this.config.spool.path);
  }

  async turn<T>(work: () => Promise<T>): Promise<T> {
    if (this.running >= MAX_IMPORTS)
      throw new Failure('UNAVAILABLE', 'other archives are being loaded', { retryAfter: 5 });
    this.running++;
    try {
      return await work();
    } finally {
      this.running--;
    }
  }
}
