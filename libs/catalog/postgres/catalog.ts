import type { Descriptor, Digest, Page, PageQuery, Repository } from '#oci';
import type {
  Access,
  BlobKnowledge,
  Catalog,
  CatalogCounts,
  Listing,
  ManifestRecord,
  NewManifest,
  PoolState,
  PullLedger,
  RepositoryNames,
  TagRecord,
} from '../port.js';
import { EXPIRE_AT_MOST, facts, keeping, lookups, upstreams } from '../statements/index.js';
import { Batcher, type BatcherOptions } from './batcher.js';
import type { Connection } from './connection.js';
import { digestFromBytes, digestToBytes } from './digest-column.js';
import { PostgresDuties } from './duties.js';
import { isValueError, overloaded } from './failures.js';
import { PostgresHoldings } from './holdings.js';
import { PostgresInventory } from './inventory/inventory.js';
import { PostgresPullLedger } from './ledger.js';
import { PostgresLists } from './lists.js';
import type { OwnPullLedger } from './own-ledger.js';
import { PostgresPruning } from './pruning/pruning.js';
import { PostgresUpstreamLedger } from './upstream-ledger.js';
import { PostgresUsage } from './usage.js';

interface NamedBlob {
  readonly repository: Repository;
  readonly digest: Digest;
}

interface HeldBlob extends NamedBlob {
  readonly size: number;
}

const MAX_TRIES = 10;
/** Clients are served before the row is written. Milliseconds. */
const BLOBS_LINGER = 40;
/** Who stores many, as a rebuild does, is not to wait for it. */
const BLOBS_ENOUGH = 16;
const TOUCHES_PER_STATEMENT = 1_000;

export class PostgresCatalog implements Catalog {
  readonly pulls: PullLedger;
  readonly upstreams: PostgresUpstreamLedger;
  readonly inventory: PostgresInventory;
  readonly holdings: PostgresHoldings;
  readonly usage: PostgresUsage;
  readonly duties: PostgresDuties;
  readonly pruning: PostgresPruning;
  private readonly blobs: Batcher<HeldBlob, void>;
  private readonly lists: PostgresLists;
  private readonly knowledge: Batcher<NamedBlob, BlobKnowledge>;

  constructor(
    private readonly connection: Connection,
    /** Instead of the rows themselves. */
    private readonly own?: OwnPullLedger,
  ) {
    this.pulls = own ?? new PostgresPullLedger(connection);
    this.upstreams = new PostgresUpstreamLedger(connection);
    this.lists = new PostgresLists(connection);
    this.inventory = new PostgresInventory(connection);
    this.holdings = new PostgresHoldings(connection);
    this.usage = new PostgresUsage(connection);
    this.duties = new PostgresDuties(connection);
    this.pruning = new PostgresPruning(connection);
    const batching: BatcherOptions<NamedBlob> = {
      maxBatch: 200,
      maxWaiting: 20_000,
      maxWait: 10_000,
      concurrency: 2,
      keyOf: ({ repository, digest }) => `${repository.upstream}/${repository.path}@${digest}`,
      isolate: isValueError,
      overloaded: () => overloaded('blobs'),
    };
    this.blobs = new Batcher((items: HeldBlob[]) => this.storeBlobs(items), {
      ...batching,
      linger: BLOBS_LINGER,
      enough: BLOBS_ENOUGH,
    });
    this.knowledge = new Batcher((items) => this.knowBlobs(items), batching);
  }

  async findTag(
    { upstream, path }: Repository,
    tag: string,
  ): Promise<(TagRecord & { readonly manifest: ManifestRecord }) | undefined> {
    const [row] = await this.connection.query<{ digest: Buffer; media_type: string; bytes: Buffer; age: number }>(
      lookups.findTag,
      [upstream, path, tag],
    );
    if (!row) return undefined;
    const digest = digestFromBytes(row.digest);
    return { digest, age: row.age, manifest: { digest, mediaType: row.media_type, bytes: row.bytes } };
  }

  findManifest({ upstream, path }: Repository, digest: Digest): Promise<ManifestRecord | undefined> {
    return this.connection
      .query<{ media_type: string; bytes: Buffer }>(lookups.findManifest, [upstream, path, digestToBytes(digest)])
      .then(([row]) => row && { digest, mediaType: row.media_type, bytes: row.bytes });
  }

  async findBlob({ upstream, path }: Repository, digest: Digest): Promise<{ readonly size: number } | undefined> {
    const [row] = await this.connection.query<{ size: string }>(lookups.findBlob, [
      upstream,
      path,
      digestToBytes(digest),
    ]);
    return row && { size: Number(row.size) };
  }

  knowBlob(repository: Repository, digest: Digest): Promise<BlobKnowledge> {
    return this.knowledge.submit({ repository, digest });
  }

  async storeManifest(
    { upstream, path }: Repository,
    manifest: NewManifest,
    tag?: string,
  ): Promise<{ readonly moved: boolean }> {
    const values = [
      upstream,
      path,
      digestToBytes(manifest.digest),
      manifest.mediaType,
      manifest.bytes,
      manifest.subject ? digestToBytes(manifest.subject) : null,
      manifest.artifactType ?? null,
      manifest.annotations ? JSON.stringify(manifest.annotations) : null,
      manifest.edges.map((edge) => digestToBytes(edge.child)),
      manifest.edges.map((edge) => edge.kind),
      manifest.edges.map((edge) => edge.size),
      manifest.edges.map((edge) => edge.platform ?? null),
      tag ?? null,
    ];
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const [row] = await this.connection.query<{ stored: boolean; moved: boolean }>(facts.storeManifest, values);
      if (row?.stored) return { moved: row.moved };
    }
    throw overloaded('manifests');
  }

  async confirmTag({ upstream, path }: Repository, tag: string, digest: Digest): Promise<boolean> {
    const [row] = await this.connection.query<{ confirmed: boolean }>(facts.confirmTag, [
      upstream,
      path,
      digestToBytes(digest),
      tag,
    ]);
    return row?.confirmed ?? false;
  }

  async removeTag({ upstream, path }: Repository, tag: string): Promise<void> {
    await this.connection.execute(facts.removeTag, [upstream, path, tag]);
  }

  storeBlob(repository: Repository, digest: Digest, size: number): Promise<void> {
    return this.blobs.submit({ repository, digest, size });
  }

  findTags(repository: Repository): Promise<Listing<string>> {
    return this.lists.findTags(repository);
  }

  storeTagList(repository: Repository, tags: readonly string[]): Promise<void> {
    return this.lists.storeTagList(repository, tags);
  }

  findReferrers(repository: Repository, digest: Digest): Promise<Listing<Descriptor>> {
    return this.lists.findReferrers(repository, digest);
  }

  storeReferrers(repository: Repository, digest: Digest, referrers: readonly Descriptor[]): Promise<void> {
    return this.lists.storeReferrers(repository, digest, referrers);
  }

  listRepositories(names: RepositoryNames, page: PageQuery & { readonly n: number }): Promise<Page<string>> {
    return this.lists.listRepositories(names, page);
  }

  async forgetBlob(digest: Digest): Promise<void> {
    await this.connection.execute(facts.forgetBlob, [digestToBytes(digest)]);
  }

  async touch(items: readonly Access[]): Promise<void> {
    for (let from = 0; from < items.length; from += TOUCHES_PER_STATEMENT) {
      const some = items.slice(from, from + TOUCHES_PER_STATEMENT);
      await this.connection.execute(facts.touch, [
        some.map((item) => item.repository.upstream),
        some.map((item) => item.repository.path),
        some.map((item) => digestToBytes(item.digest)),
        some.map((item) => item.at.toISOString()),
        some.map((item) => item.client?.replaceAll('\0', '') ?? null),
      ]);
    }
  }

  async expireTagHistory(ms: number): Promise<number> {
    let removed = 0;
    for (;;) {
      const some = await this.connection.execute(keeping.expireTagHistory, [ms]);
      removed += some;
      if (some < EXPIRE_AT_MOST) return removed;
    }
  }

  async foldTotals(): Promise<void> {
    await this.connection.execute(keeping.foldTotals, []);
  }

  async counts(): Promise<CatalogCounts> {
    const [row] = await this.connection.query<Record<string, string>>(lookups.counts, []);
    return {
      repositories: Number(row?.repositories),
      manifests: Number(row?.manifests),
      manifestBytes: Number(row?.manifest_bytes),
      blobs: Number(row?.blobs),
      blobBytes: Number(row?.blob_bytes),
      tags: Number(row?.tags),
    };
  }

  async installation(): Promise<string> {
    const [row] = await this.connection.query<{ id: string }>(upstreams.findInstallation, []);
    return (row as { id: string }).id;
  }

  pool(): PoolState {
    return this.connection.pool;
  }

  ping(): Promise<void> {
    return this.connection.ping();
  }

  async close(): Promise<void> {
    await this.own?.close();
    await this.connection.close();
  }

  private async knowBlobs(items: NamedBlob[]): Promise<BlobKnowledge[]> {
    const rows = await this.connection.query<{ place: number } & Record<keyof BlobKnowledge, string | null>>(
      lookups.knowBlobs,
      [
        items.map((item) => item.repository.upstream),
        items.map((item) => item.repository.path),
        items.map((item) => digestToBytes(item.digest)),
      ],
    );
    const known: BlobKnowledge[] = [];
    for (const { place, held, stored, described } of rows) {
      known[place - 1] = {
        ...(held === null ? {} : { held: Number(held) }),
        ...(stored === null ? {} : { stored: Number(stored) }),
        ...(described === null ? {} : { described: Number(described) }),
      };
    }
    return known;
  }

  private async storeBlobs(items: HeldBlob[]): Promise<void[]> {
    let left = items;
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const stored = await this.connection.query<{ place: number }>(facts.storeBlobs, [
        left.map((item) => item.repository.upstream),
        left.map((item) => item.repository.path),
        left.map((item) => digestToBytes(item.digest)),
        left.map((item) => item.size),
      ]);
      const places = new Set(stored.map((row) => row.place));
      left = left.filter((_, index) => !places.has(index + 1));
      if (left.length === 0) return items.map(() => undefined);
    }
    throw overloaded('blobs');
  }
}
