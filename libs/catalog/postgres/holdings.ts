import type { Digest, Repository } from '#oci';
import type { CheckedManifest, HeldBlob, HeldManifest, HeldTag, Holdings, KeptTag } from '../holdings.js';
import { holdings } from '../statements/index.js';
import type { Connection } from './connection.js';
import { digestFromBytes, digestToBytes } from './digest-column.js';

interface CheckedRow {
  digest: Buffer;
  size: string;
  intact: boolean;
}

interface NamedRow {
  repository_id: string;
  upstream: string;
  path: string;
  digest: Buffer;
}

export class PostgresHoldings implements Holdings {
  constructor(private readonly connection: Connection) {}

  async blobs(after: Digest | undefined, limit: number): Promise<{ digest: Digest; size: number }[]> {
    const from = after ? digestToBytes(after) : Buffer.alloc(0);
    const rows = await this.connection.query<{ digest: Buffer; size: string }>(holdings.pageBlobs, [from, limit]);
    return rows.map(({ digest, size }) => ({ digest: digestFromBytes(digest), size: Number(size) }));
  }

  async checkManifests(after: string | undefined, limit: number) {
    const rows = await this.connection.query<CheckedRow & { id: string }>(holdings.checkManifests, [after ?? 0, limit]);
    return rows.map((row) => ({ place: row.id, ...checked(row) }));
  }

  async checkManifest(digest: Digest): Promise<CheckedManifest | undefined> {
    const [row] = await this.connection.query<CheckedRow>(holdings.checkManifest, [digestToBytes(digest)]);
    return row && checked(row);
  }

  async manifests([repository, manifest]: readonly string[] = ['0', '0'], limit: number): Promise<HeldManifest[]> {
    const rows = await this.connection.query<NamedRow & { manifest_id: string; media_type: string; bytes: Buffer }>(
      holdings.pageManifests,
      [repository, manifest, limit],
    );
    return rows.map((row) => ({
      place: [row.repository_id, row.manifest_id],
      repository: { upstream: row.upstream, path: row.path },
      digest: digestFromBytes(row.digest),
      mediaType: row.media_type,
      bytes: row.bytes,
    }));
  }

  async tags([repository, tag]: readonly string[] = ['0', ''], limit: number): Promise<HeldTag[]> {
    const rows = await this.connection.query<NamedRow & TagRow>(holdings.pageTags, [repository, tag, limit]);
    return rows.map((row) => ({
      place: [row.repository_id, row.name],
      repository: { upstream: row.upstream, path: row.path },
      digest: digestFromBytes(row.digest),
      ...kept(row),
    }));
  }

  async grants([blob, repository]: readonly string[] = ['0', '0'], limit: number): Promise<HeldBlob[]> {
    const rows = await this.connection.query<NamedRow & { blob_id: string; size: string }>(holdings.pageGrants, [
      blob,
      repository,
      limit,
    ]);
    return rows.map((row) => ({
      place: [row.blob_id, row.repository_id],
      repository: { upstream: row.upstream, path: row.path },
      digest: digestFromBytes(row.digest),
      size: Number(row.size),
    }));
  }

  holders(digest: Digest): Promise<Repository[]> {
    return this.connection.query(holdings.blobHolders, [digestToBytes(digest)]);
  }

  async dropManifest(digest: Digest): Promise<{ repository: Repository; tags: KeptTag[] }[]> {
    const rows = await this.connection.query<Repository & (TagRow | { name: null })>(holdings.dropManifest, [
      digestToBytes(digest),
    ]);
    const dropped = new Map<string, { repository: Repository; tags: KeptTag[] }>();
    for (const row of rows) {
      const { upstream, path } = row;
      const one = dropped.get(`${upstream}/${path}`) ?? { repository: { upstream, path }, tags: [] };
      if (row.name !== null) one.tags.push(kept(row));
      dropped.set(`${upstream}/${path}`, one);
    }
    return [...dropped.values()];
  }

  async restoreTag({ upstream, path }: Repository, digest: Digest, tag: KeptTag): Promise<boolean> {
    const values = [upstream, path, digestToBytes(digest), tag.name, tag.checkedAt, tag.movedAt];
    return (await this.connection.execute(holdings.restoreTag, values)) > 0;
  }
}

interface TagRow {
  name: string;
  checked_at: Date;
  moved_at: Date;
}

function kept({ name, checked_at, moved_at }: TagRow): KeptTag {
  return { name, checkedAt: checked_at, movedAt: moved_at };
}

function checked({ digest, size, intact }: CheckedRow): CheckedManifest {
  return { digest: digestFromBytes(digest), size: Number(size), intact };
}
