import { within } from '#async';
import type { BlobStore } from '#blobs';
import type { Bus, PullSource } from '#bus';
import type { Catalog, ManifestRecord } from '#catalog';
import { type Digest, Failure, type FailureRecord, isDigest, type Repository } from '#oci';
import type { Log } from '../ports.js';
import type { PullRequest, PullWaits } from '../pulls/pull-waits.js';
import { Asking, cameBy, isTrouble, type Origin, type RequestContext } from './asking.js';
import { BlobReader } from './blob-reader.js';
import { type Asked, asked, type FactCache, type ManifestHead } from './fact-cache.js';
import { type Freshness, freshnessOf, type TagRule } from './freshness.js';
import { Lists } from './lists.js';
import { type Lookups, SharedLookups } from './shared-lookups.js';

/** How often in a row what was just pulled may be gone again, which only a cache without protection does. */
const PRUNED_AT_ONCE = 3;

interface RegistryOptions {
  readonly airGapped: boolean;
  /** Milliseconds that a client waits for the upstream's word about a tag that is cached but expired. */
  readonly revalidateTimeout: number;
  /** The rule for a tag of a repository. */
  tagRule(repository: Repository, tag: string): TagRule;
  readonly lists: {
    /** How long what an upstream listed is believed. */
    readonly rule: TagRule;
    /** Milliseconds that an empty list of referrers is. */
    readonly emptyFor: number;
  };
}

interface RegistryPorts {
  readonly catalog: Catalog;
  readonly blobs: BlobStore;
  readonly bus: Bus;
  readonly waits: PullWaits;
  readonly facts: FactCache;
  readonly log: Log;
}

interface Served<T> {
  readonly manifest: T;
  readonly origin: Origin;
  /** Who gave it, or was asked whether it still holds. */
  readonly source?: PullSource;
  /** Why a cached tag is served although the upstream should have been asked. */
  readonly warning?: string;
}

export type ServedManifest = Served<ManifestRecord>;
export type ServedHead = Served<ManifestHead>;

/** The pull API without HTTP: what we have is served, what we lack is pulled. */
export class Registry {
  readonly facts: FactCache;
  readonly lists: Lists;
  private readonly asking: Asking;
  private readonly ports: Omit<RegistryPorts, 'catalog'> & { readonly catalog: Lookups };
  private readonly unsubscribe: (() => void)[];

  constructor(
    ports: RegistryPorts,
    private readonly options: RegistryOptions,
  ) {
    this.ports = { ...ports, catalog: new SharedLookups(ports.catalog) };
    this.facts = ports.facts;
    this.asking = new Asking(ports.waits, ports.facts, ports.log);
    this.lists = new Lists(ports.catalog, this.asking, { ...options.lists, airGapped: options.airGapped });
    this.unsubscribe = [
      ports.bus.onSignal('tag.moved', ({ repository, tag, digest }) => this.facts.moveTag(repository, tag, digest)),
      ports.bus.onSignal('tag.resolved', ({ repository, tag, digest, mediaType, size }) =>
        this.facts.addHead(repository, tag, { digest, mediaType, size }),
      ),
      ports.bus.onSignal('content.removed', ({ digests, repository }) =>
        this.facts.removeContents(digests, repository),
      ),
    ];
  }

  /** What `recall` and `recallBlob` are asked with; may be kept. */
  asked(repository: Repository, reference: string): Asked {
    return asked(repository, reference);
  }

  /** A manifest from this process's memory, without a promise: nearly every request of a warm cache. */
  recall({ repository, reference, key }: Asked): ManifestRecord | undefined {
    // No tag has a colon, every digest has one.
    if (reference.includes(':')) return this.facts.manifestAt(key);
    const tag = this.facts.tagAt(key);
    if (!tag || this.freshness(repository, reference, tag.age) !== 'fresh') return undefined;
    return this.facts.manifestAt(tag.key);
  }

  /** Rejects with the Failure that the client is to see (WIRE A94). */
  async manifest(repository: Repository, reference: string, context: RequestContext): Promise<ServedManifest> {
    return isDigest(reference)
      ? this.byDigest(repository, reference, context)
      : this.byTag(repository, reference, context);
  }

  /** As `manifest`, without its bytes: the upstream is asked by HEAD what a tag names that is not cached (WIRE A54). */
  async head(repository: Repository, reference: string, context: RequestContext): Promise<ServedHead> {
    if (!isDigest(reference) && !(await this.findTag(repository, reference)))
      return this.resolve(repository, reference, context);
    const { manifest, ...told } = await this.manifest(repository, reference, context);
    return { ...told, manifest: headOf(manifest) };
  }

  /** A blob to read; its size in bytes is known, its bytes may still be arriving. */
  async blob(repository: Repository, digest: Digest, context: RequestContext): Promise<BlobReader> {
    const { blobs, catalog } = this.ports;
    const known =
      this.facts.blob(repository, digest) ??
      (this.facts.expectsBlob(repository, digest) ? undefined : (await catalog.findBlob(repository, digest))?.size);
    const request = this.asking.request({ kind: 'blob', repository, digest }, 'client', context);
    if (known !== undefined) {
      this.facts.addBlob(repository, digest, known);
      return new BlobReader(this.ports, this.facts, request, known, { state: 'stored' }, 'hit');
    }
    this.refuse(request.target, 'BLOB_UNKNOWN');
    const { pulled, found: size } = await this.fetch(
      () => this.asking.wait(request, context, true),
      async (outcome) =>
        outcome.state === 'running'
          ? outcome.transfer.size()
          : (outcome.size ?? (await catalog.findBlob(repository, digest))?.size ?? (await blobs.stat(digest))?.size),
    );
    const { origin, source } = cameBy(pulled);
    if (pulled.state === 'running')
      return new BlobReader(this.ports, this.facts, request, size, pulled, origin, source);
    this.facts.addBlob(repository, digest, size);
    return new BlobReader(this.ports, this.facts, request, size, { state: 'stored' }, origin, source);
  }

  /** A small blob from this process's memory, without a promise. */
  recallBlob({ reference, key }: Asked): Buffer | undefined {
    return this.facts.blobBytesAt(key, reference as Digest);
  }

  close(): void {
    for (const off of this.unsubscribe) off();
    this.ports.waits.close();
  }

  private async byDigest(repository: Repository, digest: Digest, context: RequestContext): Promise<ServedManifest> {
    const held = this.facts.manifest(repository, digest) ?? (await this.ports.catalog.findManifest(repository, digest));
    if (held) {
      this.facts.addManifest(repository, held);
      return { manifest: held, origin: 'hit' };
    }
    const target = { kind: 'manifest', repository, reference: digest } as const;
    this.refuse(target, 'MANIFEST_UNKNOWN');
    const { pulled, found } = await this.fetch(
      () => this.pull(target, context),
      // A puller in this process has put it there.
      async () => this.facts.manifest(repository, digest) ?? this.ports.catalog.findManifest(repository, digest),
    );
    this.facts.addManifest(repository, found);
    return { manifest: found, ...pulled };
  }

  private async byTag(repository: Repository, tag: string, context: RequestContext): Promise<ServedManifest> {
    const held = await this.findTag(repository, tag);
    if (held) {
      const freshness = this.freshness(repository, tag, held.age);
      if (freshness === 'fresh') return { manifest: held.manifest, origin: 'hit' };
      if (freshness === 'stale') {
        this.revalidate(repository, tag, context);
        return { manifest: held.manifest, origin: 'stale' };
      }
    }
    const target = { kind: 'manifest', repository, reference: tag } as const;
    this.refuse(target, 'MANIFEST_UNKNOWN');
    const trouble = held && this.facts.trouble(repository, tag);
    if (trouble) return servedOnError(held.manifest, trouble);
    const asked = Date.now();
    const fetch = this.fetch(
      () => this.pull(target, context, held === undefined),
      () => this.findTag(repository, tag, Date.now() - asked),
    );
    try {
      const { pulled, found } = await (held
        ? within(this.options.revalidateTimeout, fetch, () => new Failure('UPSTREAM_TIMEOUT'))
        : fetch);
      return { manifest: found.manifest, ...pulled, ...(held ? { origin: 'revalidated' } : {}) };
    } catch (error) {
      context.signal?.throwIfAborted();
      const failure = Failure.of(error);
      if (!held || !isTrouble(failure)) throw failure;
      this.facts.addTrouble(repository, tag, failure.toRecord());
      return servedOnError(held.manifest, failure);
    }
  }

  private async resolve(repository: Repository, tag: string, context: RequestContext): Promise<ServedHead> {
    const target = { kind: 'tag', repository, reference: tag } as const;
    this.refuse(target, 'MANIFEST_UNKNOWN');
    const known = this.facts.head(repository, tag);
    if (known && this.freshness(repository, tag, known.age) === 'fresh') return { manifest: known.head, origin: 'hit' };
    const asked = performance.now();
    const { pulled, found } = await this.fetch(
      () => this.pull(target, context),
      async () => {
        const told = this.facts.head(repository, tag);
        if (told && told.age <= performance.now() - asked) return told.head;
        const held = await this.findTag(repository, tag);
        return held && headOf(held.manifest);
      },
    );
    return { manifest: found, ...pulled };
  }

  /** Pulls, and finds what was pulled; again when it was pruned in between. */
  private async fetch<P, T>(
    pull: () => Promise<P>,
    find: (pulled: P) => Promise<T | undefined>,
  ): Promise<{ pulled: P; found: T }> {
    for (let tries = 1; tries <= PRUNED_AT_ONCE; tries++) {
      const pulled = await pull();
      const found = await find(pulled);
      if (found !== undefined) return { pulled, found };
    }
    throw new Failure('UNAVAILABLE', undefined, { retryAfter: 1 });
  }

  private async findTag(
    repository: Repository,
    tag: string,
    /** Milliseconds since when this process must have learnt it. */
    within = Number.POSITIVE_INFINITY,
  ): Promise<{ manifest: ManifestRecord; age: number } | undefined> {
    const recalled = this.facts.tag(repository, tag);
    const manifest = recalled && this.facts.manifest(repository, recalled.digest);
    if (recalled && manifest && recalled.age <= within) return { manifest, age: recalled.age };
    const found = await this.ports.catalog.findTag(repository, tag);
    if (!found) return undefined;
    this.facts.addTag(repository, tag, { digest: found.digest, age: found.age });
    this.facts.addManifest(repository, found.manifest);
    return found;
  }

  private freshness(repository: Repository, tag: string, age: number): Freshness {
    // Nobody can be asked: what is cached is the truth.
    return this.options.airGapped ? 'fresh' : freshnessOf(age, this.options.tagRule(repository, tag));
  }

  private revalidate(repository: Repository, tag: string, context: RequestContext): void {
    if (!this.facts.takesTurnToAsk(repository, tag)) return;
    const target = { kind: 'manifest', repository, reference: tag } as const;
    this.asking.revalidate(target, this.options.tagRule(repository, tag).fresh, context);
  }

  private async pull(
    target: Extract<PullRequest['target'], { reference: string }>,
    context: RequestContext,
    unknown = false,
  ): Promise<Pick<ServedManifest, 'origin' | 'source'>> {
    const request = this.asking.request(target, 'client', context, unknown ? { unknown } : {});
    return cameBy(await this.asking.wait(request, context));
  }

  private refuse(target: PullRequest['target'], reason: 'MANIFEST_UNKNOWN' | 'BLOB_UNKNOWN'): void {
    if (this.options.airGapped) throw new Failure(reason, 'not in the cache, and this server is air-gapped');
    this.asking.refuseKnownNo(target);
  }
}

function headOf({ digest, mediaType, bytes }: ManifestRecord): ManifestHead {
  return { digest, mediaType, size: bytes.length };
}

function servedOnError(manifest: ManifestRecord, { message }: FailureRecord): ServedManifest {
  return { manifest, origin: 'stale-on-error', warning: `served from the cache: ${message}` };
}
