import type { Digest, FailureRecord, Repository, Target } from '#oci';
import type {
  BlobEntry,
  BlobSort,
  ContentFilter,
  ImageDetail,
  ImageEntry,
  ImageSort,
  Inventory,
  Listed,
  ManifestEntry,
  ManifestSort,
  Page,
  PullEntry,
  PullFilter,
  TagEntry,
  TagSort,
  UpstreamTotals,
} from '../../inventory.js';
import { inventory as statements } from '../../statements/index.js';
import type { Connection } from '../connection.js';
import { digestFromBytes } from '../digest-column.js';
import { readImage } from './image.js';
import { Listing, refusePattern } from './listing.js';
import { blobSource, imageSource, manifestSource, NAMES_PLATFORM, pullSource, tagSource } from './sources.js';

interface HeldRow {
  upstream: string;
  path: string;
  digest: Buffer;
  media_type: string;
  artifact_type: string | null;
  stored_at: Date;
  last_access: Date;
}

interface ImageRow extends HeldRow {
  name: string;
  size: string;
  platforms: string[];
}

interface PullRow {
  key: string;
  target: Target;
  state: 'running' | 'finished';
  attempt: number;
  worker: string;
  size: string | null;
  failure: FailureRecord | null;
  started_at: Date;
  changed_at: Date;
}

const ALL = { reference: 'reference', stored: 'stored_at', accessed: 'last_access', size: 'size' };

export class PostgresInventory implements Inventory {
  constructor(private readonly connection: Connection) {}

  images(filter: ContentFilter, page: Page<ImageSort>): Promise<Listed<ImageEntry>> {
    const measured = page.sort === 'size' || filter.minSize !== undefined || filter.maxSize !== undefined;
    return new Listing(imageSource(measured, page.sort))
      .filter(filter, ALL)
      .where(NAMES_PLATFORM, filter.platform)
      .run(this.connection, page, toImage);
  }

  manifests(filter: ContentFilter, page: Page<ManifestSort>): Promise<Listed<ManifestEntry>> {
    return new Listing(manifestSource).filter(filter, ALL).run(
      this.connection,
      page,
      (row: HeldRow & { size: string; subject: Buffer | null; tags: string[] }): ManifestEntry => ({
        ...toHeld(row),
        ...(row.subject ? { subject: digestFromBytes(row.subject) } : {}),
        size: Number(row.size),
        tags: row.tags,
      }),
    );
  }

  tags(filter: ContentFilter, page: Page<TagSort>): Promise<Listed<TagEntry>> {
    return new Listing(tagSource).filter(filter, { ...ALL, size: undefined }).run(
      this.connection,
      page,
      (row: HeldRow & { name: string; checked_at: Date; moved_at: Date }): TagEntry => ({
        repository: toRepository(row),
        tag: row.name,
        digest: digestFromBytes(row.digest),
        mediaType: row.media_type,
        checkedAt: row.checked_at,
        movedAt: row.moved_at,
      }),
    );
  }

  blobs(filter: ContentFilter, page: Page<BlobSort>): Promise<Listed<BlobEntry>> {
    const { upstream: _, ...rest } = filter;
    return new Listing(blobSource).filter(rest, ALL).run(
      this.connection,
      page,
      (row: { digest: Buffer; size: string; stored_at: Date; last_access: Date; repositories: string }): BlobEntry => ({
        digest: digestFromBytes(row.digest),
        size: Number(row.size),
        storedAt: row.stored_at,
        lastAccess: row.last_access,
        repositories: Number(row.repositories),
      }),
    );
  }

  pulls({ state, upstream }: PullFilter, page: Page<'changedAt'>): Promise<Listed<PullEntry>> {
    return new Listing(pullSource)
      .where('upstream = ?', upstream)
      .where('state = ?', state === 'failed' ? 'finished' : state)
      .where('(failure IS NOT NULL) = ?', state === 'failed' ? true : undefined)
      .run(
        this.connection,
        page,
        (row: PullRow): PullEntry => ({
          key: row.key,
          target: row.target,
          state: row.state,
          attempt: row.attempt,
          worker: row.worker,
          ...(row.size === null ? {} : { size: Number(row.size) }),
          startedAt: row.started_at,
          changedAt: row.changed_at,
          ...(row.failure ? { failure: row.failure } : {}),
        }),
      );
  }

  image(repository: Repository, reference: string): Promise<ImageDetail | undefined> {
    return readImage(this.connection, repository, reference);
  }

  async totals(): Promise<readonly UpstreamTotals[]> {
    const rows = await this.connection
      .query<Record<string, string>>(statements.totals, [])
      .catch((error: unknown) => refusePattern(error));
    return rows.map((row) => ({
      upstream: String(row.upstream),
      repositories: Number(row.repositories),
      tags: Number(row.tags),
      manifests: Number(row.manifests),
    }));
  }
}

function toRepository({ upstream, path }: { upstream: string; path: string }): Repository {
  return { upstream, path };
}

function toHeld(row: HeldRow) {
  return {
    repository: toRepository(row),
    digest: digestFromBytes(row.digest) as Digest,
    mediaType: row.media_type,
    ...(row.artifact_type === null ? {} : { artifactType: row.artifact_type }),
    storedAt: row.stored_at,
    lastAccess: row.last_access,
  };
}

function toImage(row: ImageRow): ImageEntry {
  return {
    ...toHeld(row),
    ...(row.name.startsWith('@') ? {} : { tag: row.name }),
    platforms: row.platforms,
    size: Number(row.size),
  };
}
