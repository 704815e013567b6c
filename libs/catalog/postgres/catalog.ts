import type { Descriptor, Digest, Page, PageQuery, Repository } from '#oci';
import type {
  Catalog,
  CatalogCounts,
  Listing,
  ManifestRecord,
  NewManifest,
  RepositoryNames,
  TagRecord,
} from '../port.js';
import { EXPIRE_AT_MOST, facts, keeping, lookups, upstreams } from '../statements/index.js';
import { Batcher } from './batcher.js';
import type { Connection } from './connection.js';
import { digestFromBytes, digestToBytes } from './digest-column.js';
import { PostgresDuties } from './duties.js';
import { isValueError, overloaded } from './failures.js';
import { PostgresInventory } from './inventory/inventory.js';
import { PostgresPullLedger } from './ledger.js';
import { PostgresLists } from './lists.js';
import { PostgresUpstreamLedger } from './upstream-ledger.js';
import { PostgresUsage } from './usage.js';

interface HeldBlob {
  readonly repository: Repository;
  readonly digest: Digest;
  readonly size: number;
}

const MAX_TRIES = 10;
const TOUCHES_PER_STATEMENT = 1_000;

export class PostgresCatalog implements Catalog {
  readonly pulls: PostgresPullLedger;
  readonly upstreams: PostgresUpstreamLedger;
  readonly inventory: PostgresInventory;
  readonly usage: PostgresUsage;
  readonly duties: PostgresDuties;
  private readonly blobs: Batcher<HeldBlob, void>;
  private readonly lists: PostgresLists;

  constructor(private readonly connection: Connection) {
    this.pulls = new PostgresPullLedger(connection);
    this.upstreams = new PostgresUpstreamLedger(connection);
    this.lists = new PostgresLists(connection);
    this.inventory = new PostgresInventory(connection);
    this.usage = new PostgresUsage(connection);
    this.duties = new PostgresDuties(connection);
    this.blobs = new Batcher((items) => this.storeBlobs(items), {
      maxBatch: 200,
      maxWaiting: 20_000,
      maxWait: 10_000,
      concurrency: 2,
      keyOf: ({ repository, digest }) => `${repository.upstream}/${repository.path}@${digest}`,
      isolate: isValueError,
      overloaded: () => overloaded('blobs'),
    });
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
    return this.manifest(lookups.findManifest, digest, [upstream, path, digestToBytes(digest)]);
  }

  hasManifest(digest: Digest): Promise<ManifestRecord | undefined> {
    return this.manifest(lookups.hasManifest, digest, [digestToBytes(digest)]);
  }

  async findBlob({ upstream, path }: Repository, digest: Digest): Promise<{ readonly size: number } | undefined> {
    const size = await this.size(lookups.findBlob, [upstream, path, digestToBytes(digest)]);
    return size === undefined ? undefined : { size };
  }

  async hasBlob(digest: Digest): Promise<{ readonly size: number } | undefined> {
    const size = await this.size(lookups.hasBlob, [digestToBytes(digest)]);
    return size === undefined ? undefined : { size };
  }

  findDescriptorSize({ upstream, path }: Repository, digest: Digest): Promise<number | undefined> {
    return this.size(lookups.findDescriptorSize, [upstream, path, digestToBytes(digest)]);
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

  async touch(
    items: ReadonlyArray<{ readonly repository: Repository; readonly digest: Digest; readonly at: Date }>,
  ): Promise<void> {
    for (let from = 0; from < items.length; from += TOUCHES_PER_STATEMENT) {
      const some = items.slice(from, from + TOUCHES_PER_STATEMENT);
      await this.connection.execute(facts.touch, [
        some.map((item) => item.repository.upstream),
        some.map((item) => item.repository.path),
        some.map((item) => digestToBytes(item.digest)),
        some.map((item) => item.at.toISOString()),
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

  ping(): Promise<void> {
    return this.connection.ping();
  }

  close(): Promise<void> {
    return this.connection.close();
  }

  private async manifest(
    statement: typeof lookups.hasManifest,
    digest: Digest,
    values: readonly unknown[],
  ): Promise<ManifestRecord | undefined> {
    const [row] = await this.connection.query<{ media_type: string; bytes: Buffer }>(statement, values);
    return row && { digest, mediaType: row.media_type, bytes: row.bytes };
  }

  private async size(statement: typeof lookups.hasBlob, values: readonly unknown[]): Promise<number | undefined> {
    const [row] = await this.connection.query<{ size: string }>(statement, values);
    return row && Number(row.size);
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
