import { isDigest } from './digest.js';
import { isObject, parseJsonObject } from './json.js';
import { OCI_INDEX } from './media-type.js';
import { isTag } from './reference.js';
import type { Descriptor, Digest } from './types.js';

/** Where a list goes on: at most `n` entries after `last`. */
export interface PageQuery {
  readonly n?: number;
  readonly last?: string;
}

export interface Page<T> {
  readonly entries: readonly T[];
  /** The last entry's key, when more follow. */
  readonly next?: string;
}

/** In the order of their bytes, as distribution-spec "Listing Tags" sorts tags. */
export function byBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * The part of a list sorted by `keyOf` that `query` asks for, at most `most` entries and `mostWeight` of `weightOf`, but
 * never none of what is left. A page of nothing (`n=0`) has no next one, since nobody would ever come to its end.
 */
export function pageOf<T>(
  sorted: readonly T[],
  query: PageQuery,
  options: {
    readonly keyOf: (entry: T) => string;
    readonly most: number;
    readonly weightOf?: (entry: T) => number;
    readonly mostWeight?: number;
  },
): Page<T> {
  const { keyOf, most, weightOf = () => 0, mostWeight = Number.POSITIVE_INFINITY } = options;
  const { last } = query;
  const limit = Math.min(query.n ?? most, most);
  const found = last === undefined ? 0 : sorted.findIndex((entry) => byBytes(keyOf(entry), last) > 0);
  const start = found < 0 ? sorted.length : found;
  const entries: T[] = [];
  let weight = 0;
  for (const entry of sorted.slice(start, start + limit)) {
    weight += weightOf(entry);
    if (entries.length > 0 && weight > mostWeight) break;
    entries.push(entry);
  }
  const final = entries.at(-1);
  const more = final !== undefined && start + entries.length < sorted.length;
  return { entries, ...(more ? { next: keyOf(final) } : {}) };
}

/** The tags of a `tags/list` body; `null` counts as none, and what is no tag is left out. Throws Failure UPSTREAM_CONTENT. */
export function parseTagList(bytes: Buffer): string[] {
  const { tags } = parseJsonObject(bytes);
  return Array.isArray(tags) ? tags.filter((tag): tag is string => typeof tag === 'string' && isTag(tag)) : [];
}

/**
 * The descriptors of an index of referrers, verbatim; those without a usable type, digest and size are left out. Undefined
 * when the document is no index (image-spec image-index.md). Throws Failure UPSTREAM_CONTENT when it is no JSON object.
 */
export function parseReferrers(bytes: Buffer): Descriptor[] | undefined {
  const index = parseJsonObject(bytes);
  if (!Array.isArray(index.manifests) || (index.mediaType !== undefined && index.mediaType !== OCI_INDEX))
    return undefined;
  return index.manifests.filter(isDescriptor);
}

function isDescriptor(value: unknown): value is Descriptor {
  if (!isObject(value)) return false;
  const { mediaType, digest, size, artifactType, annotations } = value;
  return (
    typeof mediaType === 'string' &&
    typeof digest === 'string' &&
    isDigest(digest) &&
    Number.isSafeInteger(size) &&
    Number(size) >= 0 &&
    (artifactType === undefined || typeof artifactType === 'string') &&
    (annotations === undefined || isObject(annotations))
  );
}

/** distribution-spec "Referrers Tag Schema": algorithm and at most 64 characters of the hash. */
export function referrersTag(digest: Digest): string {
  const [algorithm = '', hash = ''] = digest.split(':');
  return `${algorithm.slice(0, 32)}-${hash.slice(0, 64)}`;
}

/** distribution-spec "Listing Referrers": an index of descriptors. */
export function referrersIndex(descriptors: readonly Descriptor[]) {
  return { schemaVersion: 2, mediaType: OCI_INDEX, manifests: descriptors } as const;
}
