import type { z } from 'zod';
import type { PullRequested } from '#bus';
import type {
  BlobEntry,
  ImageDetail as CatalogImageDetail,
  ImageNode as CatalogImageNode,
  HeldContent,
  ImageEntry,
  Listed,
  ManifestEntry,
  Page,
  PullEntry,
  TagEntry,
} from '#catalog';
import { formatRepository, type Target } from '#oci';
import type { Blob, Image, ImageDetail, ImageNode, Manifest, Pull, QueuedPull, Tag } from './models.js';
import { cursorOf } from './queries.js';

type Shown<T extends z.ZodType> = z.output<T>;

/** A page of a list as JSON. */
export function listed<Item, View>(
  { items, next }: Listed<Item>,
  { sort, descending }: Page<string>,
  view: (item: Item) => View,
): { items: View[]; next?: string } {
  return {
    items: items.map(view),
    ...(next ? { next: cursorOf(`${descending ? '-' : ''}${sort}`, next) } : {}),
  };
}

function held(entry: HeldContent, tag?: string) {
  const { repository, digest, mediaType, artifactType } = entry;
  return {
    reference: `${formatRepository(repository)}${tag === undefined ? `@${digest}` : `:${tag}`}`,
    upstream: repository.upstream,
    repository: repository.path,
    digest,
    mediaType,
    ...(artifactType === undefined ? {} : { artifactType }),
    storedAt: entry.storedAt.toISOString(),
    lastAccess: entry.lastAccess.toISOString(),
  };
}

export function imageView(entry: ImageEntry): Shown<typeof Image> {
  const { tag, platforms, size } = entry;
  return { ...held(entry, tag), ...(tag === undefined ? {} : { tag }), platforms: [...platforms], size };
}

export function imageDetailView(image: CatalogImageDetail): Shown<typeof ImageDetail> {
  return {
    ...imageView(image),
    tree: nodeView(image.tree),
    history: image.history.map(({ at, digest }) => ({ at: at.toISOString(), ...(digest ? { digest } : {}) })),
  };
}

function nodeView({ lastAccess, children, contents, ...node }: CatalogImageNode): Shown<typeof ImageNode> {
  return {
    ...node,
    ...(lastAccess ? { lastAccess: lastAccess.toISOString() } : {}),
    children: children.map(nodeView),
    contents: contents.map((content) => ({ ...content, sharedBy: content.sharedBy.map(formatRepository) })),
  };
}

export function manifestView(entry: ManifestEntry): Shown<typeof Manifest> {
  const { subject, size, tags } = entry;
  return { ...held(entry), ...(subject ? { subject } : {}), size, tags: [...tags] };
}

export function tagView({ repository, tag, digest, mediaType, checkedAt, movedAt }: TagEntry): Shown<typeof Tag> {
  return {
    reference: `${formatRepository(repository)}:${tag}`,
    upstream: repository.upstream,
    repository: repository.path,
    tag,
    digest,
    mediaType,
    checkedAt: checkedAt.toISOString(),
    movedAt: movedAt.toISOString(),
  };
}

export function blobView({ storedAt, lastAccess, ...blob }: BlobEntry): Shown<typeof Blob> {
  return { ...blob, storedAt: storedAt.toISOString(), lastAccess: lastAccess.toISOString() };
}

export function pullView(pull: PullEntry): Shown<typeof Pull> {
  const { target, startedAt, changedAt, failure, size } = pull;
  const ended = pull.state === 'finished';
  return {
    key: pull.key,
    ...targetView(target),
    state: ended ? (failure ? 'failed' : 'done') : 'running',
    attempt: pull.attempt,
    worker: pull.worker,
    ...(size === undefined ? {} : { size }),
    startedAt: startedAt.toISOString(),
    ...(ended
      ? { finishedAt: changedAt.toISOString(), durationMs: Math.max(0, changedAt.getTime() - startedAt.getTime()) }
      : {}),
    ...(failure ? { failure } : {}),
  };
}

export function queuedView({ key, target, lane, cause }: PullRequested): Shown<typeof QueuedPull> {
  return { key, ...targetView(target), lane, cause };
}

function targetView(target: Target) {
  const { upstream, path } = target.repository;
  const reference = 'reference' in target ? target.reference : 'digest' in target ? target.digest : undefined;
  return { kind: target.kind, upstream, repository: path, ...(reference === undefined ? {} : { reference }) };
}
