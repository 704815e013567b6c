import type { Descriptor, Digest, Page, PageQuery, Repository } from '#oci';
import type { Listing, RepositoryNames } from '../port.js';
import { lists, type Statement } from '../statements/index.js';
import type { Connection } from './connection.js';
import { digestFromBytes, digestToBytes } from './digest-column.js';
import { overloaded } from './failures.js';

interface HeldReferrerRow {
  digest: Buffer;
  media_type: string;
  size: string;
  artifact_type: string | null;
  annotations: Record<string, string> | null;
}

const MAX_TRIES = 10;

/** The lists of the catalog: tags, referrers, repositories. */
export class PostgresLists {
  constructor(private readonly connection: Connection) {}

  async findTags({ upstream, path }: Repository): Promise<Listing<string>> {
    const [row] = await this.connection.query<{ names: string[] | null; age: number | null; held: string[] }>(
      lists.findTags,
      [upstream, path],
    );
    if (!row) return { held: [] };
    const { names, age, held } = row;
    return { ...(names && age !== null ? { listed: { entries: names, age } } : {}), held };
  }

  storeTagList({ upstream, path }: Repository, tags: readonly string[]): Promise<void> {
    return this.store(lists.storeTagList, [upstream, path, tags]);
  }

  async findReferrers({ upstream, path }: Repository, digest: Digest): Promise<Listing<Descriptor>> {
    const key = [upstream, path, digestToBytes(digest)];
    const [[list], held] = await Promise.all([
      this.connection.query<{ descriptors: string; age: number }>(lists.findReferrerList, key),
      this.connection.query<HeldReferrerRow>(lists.findHeldReferrers, key),
    ]);
    return {
      ...(list ? { listed: { entries: JSON.parse(list.descriptors) as Descriptor[], age: list.age } } : {}),
      held: held.map(descriptorOf),
    };
  }

  storeReferrers({ upstream, path }: Repository, digest: Digest, referrers: readonly Descriptor[]): Promise<void> {
    return this.store(lists.storeReferrers, [upstream, path, digestToBytes(digest), JSON.stringify(referrers)]);
  }

  async listRepositories(
    { plain, only, visible }: RepositoryNames,
    { n, last }: PageQuery & { readonly n: number },
  ): Promise<Page<string>> {
    const rows = await this.connection.query<{ name: string }>(lists.listRepositories, [
      plain?.upstream ?? null,
      plain?.hosts ?? [],
      only ?? null,
      last ?? null,
      n + 1,
      visible ?? null,
    ]);
    const entries = rows.slice(0, n).map(({ name }) => name);
    const final = entries.at(-1);
    return { entries, ...(rows.length > n && final !== undefined ? { next: final } : {}) };
  }

  private async store(statement: Statement, values: readonly unknown[]): Promise<void> {
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      if ((await this.connection.execute(statement, values)) > 0) return;
    }
    throw overloaded('lists');
  }
}

function descriptorOf(row: HeldReferrerRow): Descriptor {
  return {
    mediaType: row.media_type,
    digest: digestFromBytes(row.digest),
    size: Number(row.size),
    ...(row.artifact_type === null ? {} : { artifactType: row.artifact_type }),
    ...(row.annotations === null ? {} : { annotations: row.annotations }),
  };
}
