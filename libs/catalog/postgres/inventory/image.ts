import { type Digest, isDigest, type Repository } from '#oci';
import type { ImageContent, ImageDetail, ImageNode } from '../../inventory.js';
import { inventory as statements } from '../../statements/index.js';
import type { Connection } from '../connection.js';
import { digestFromBytes, digestToBytes } from '../digest-column.js';

interface TreeRow {
  parent: Buffer | null;
  digest: Buffer;
  platform: string | null;
  depth: number;
  size: string;
  media_type: string | null;
  artifact_type: string | null;
  stored_at: Date | null;
  last_access: Date | null;
  last_client: string | null;
}

interface ContentRow {
  parent: Buffer;
  kind: 'config' | 'layer';
  child: Buffer;
  size: string;
  held: boolean;
  shared_by: string[];
}

/** One image with all that is below it: three statements, whatever its size. */
export async function readImage(
  connection: Connection,
  repository: Repository,
  reference: string,
): Promise<ImageDetail | undefined> {
  const { upstream, path } = repository;
  const digest = isDigest(reference) ? reference : undefined;
  const rows = await connection.query<TreeRow>(statements.imageTree, [
    upstream,
    path,
    digest ? null : reference,
    digest ? digestToBytes(digest) : null,
  ]);
  const root = rows[0];
  if (!root?.stored_at || !root.last_access) return undefined;
  const held = rows.filter((row) => row.stored_at !== null);
  const [contents, history] = await Promise.all([
    connection.query<ContentRow>(statements.imageContents, [upstream, path, held.map((row) => row.digest)]),
    digest
      ? []
      : connection.query<{ at: Date; digest: Buffer | null }>(statements.tagHistory, [upstream, path, reference]),
  ]);
  const below = groupBy(contents, (row) => digestFromBytes(row.parent));
  const children = groupBy(rows.slice(1), (row) => digestFromBytes(row.parent ?? row.digest));
  const tree = node(root, children, below);
  return {
    repository,
    digest: tree.digest,
    ...(digest ? {} : { tag: reference }),
    mediaType: root.media_type ?? '',
    ...(root.artifact_type ? { artifactType: root.artifact_type } : {}),
    storedAt: root.stored_at,
    lastAccess: root.last_access,
    platforms: [...new Set(held.flatMap((row) => row.platform ?? []))].sort(),
    size:
      held.reduce((sum, row) => sum + Number(row.size), 0) + contents.reduce((sum, row) => sum + Number(row.size), 0),
    tree,
    history: history.map((move) => ({
      at: move.at,
      ...(move.digest ? { digest: digestFromBytes(move.digest) } : {}),
    })),
  };
}

function node(
  row: TreeRow,
  children: ReadonlyMap<Digest, readonly TreeRow[]>,
  contents: ReadonlyMap<Digest, readonly ContentRow[]>,
): ImageNode {
  const digest = digestFromBytes(row.digest);
  return {
    digest,
    ...(row.media_type ? { mediaType: row.media_type } : {}),
    ...(row.platform ? { platform: row.platform } : {}),
    size: Number(row.size),
    held: row.stored_at !== null,
    ...(row.last_access ? { lastAccess: row.last_access } : {}),
    ...(row.last_client === null ? {} : { lastClient: row.last_client }),
    children: (children.get(digest) ?? [])
      .filter((child) => child.depth === row.depth + 1)
      .map((child) => node(child, children, contents)),
    contents: (contents.get(digest) ?? []).map(
      (content): ImageContent => ({
        kind: content.kind,
        digest: digestFromBytes(content.child),
        size: Number(content.size),
        held: content.held,
        sharedBy: content.shared_by.map(toRepository),
      }),
    ),
  };
}

/** `<upstream>/<path>`, as an upstream has no slash. */
function toRepository(text: string): Repository {
  const slash = text.indexOf('/');
  return { upstream: text.slice(0, slash), path: text.slice(slash + 1) };
}

function groupBy<Row>(rows: readonly Row[], keyOf: (row: Row) => Digest): Map<Digest, Row[]> {
  const groups = new Map<Digest, Row[]>();
  for (const row of rows) groups.set(keyOf(row), [...(groups.get(keyOf(row)) ?? []), row]);
  return groups;
}
