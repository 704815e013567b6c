import { z } from 'zod';
import type { ContentFilter, Page } from '#catalog';
import { parsePatterns } from '#catalog';
import { parseDuration, parseSize } from '#config';
import { AGE } from './models.js';
import { BadRequest } from './problem.js';

const SIZE = 'A size such as `500MB` or `10GiB`; a bare number is bytes.';
const described = (description: string) => z.string().max(200).optional().meta({ description });

const paging = {
  limit: z.coerce.number().int().min(1).max(1000).default(100).meta({ description: 'Items of one page.' }),
  cursor: z.string().max(4000).optional().meta({ description: '`next` of the page before.' }),
};

/** `sort=name` or `sort=-name`. */
function sorting<const S extends readonly string[]>(...names: S) {
  const both = names.flatMap((name) => [name, `-${name}`]) as [S[number] | `-${S[number]}`];
  return z
    .enum(both)
    .optional()
    .meta({ description: `Key to sort by, \`-\` for descending. Default \`${names[0]}\`.` });
}

const content = {
  pattern: z.string().max(2000).optional().meta({
    description:
      'Regular expressions of references, separated by commas, not anchored; or `glob:` with `*`, `**` and `?` for the whole reference.',
  }),
  upstream: z.string().max(255).optional(),
  olderThan: described(`Stored before. ${AGE}`),
  newerThan: described(`Stored since. ${AGE}`),
  unusedFor: described(`Last accessed before. ${AGE}`),
  usedWithin: described(`Last accessed since. ${AGE}`),
  minSize: described(SIZE),
  maxSize: described(SIZE),
};

export const ImagesQuery = z.strictObject({
  ...content,
  platform: z.string().max(100).optional().meta({ description: '`os/architecture[/variant]`.' }),
  sort: sorting('reference', 'size', 'storedAt', 'lastAccess'),
  ...paging,
});
export const ManifestsQuery = z.strictObject({
  ...content,
  sort: sorting('repository', 'size', 'storedAt', 'lastAccess'),
  ...paging,
});
const { minSize: _, maxSize: __, ...withoutSize } = content;
export const TagsQuery = z.strictObject({
  ...withoutSize,
  sort: sorting('reference', 'movedAt', 'checkedAt'),
  ...paging,
});
const { upstream: ___, ...ofBlobs } = content;
export const BlobsQuery = z.strictObject({
  ...ofBlobs,
  sort: sorting('digest', 'size', 'storedAt', 'lastAccess'),
  ...paging,
});
export const PullsQuery = z.strictObject({
  state: z.enum(['running', 'finished', 'failed']).optional(),
  upstream: z.string().max(255).optional(),
  ...paging,
});
export const QueuedQuery = z.strictObject({ limit: paging.limit });
export const ImageQuery = z.strictObject({
  ref: z.string().max(1000).meta({ description: '`docker.io/library/alpine:3.20`, or with `@sha256:...`.' }),
});

type ContentQuery = { readonly [K in keyof typeof content]?: string } & { readonly platform?: string };

/** What the catalog is asked for; throws `BadRequest` naming the parameter. */
export function filterOf(query: ContentQuery, now = Date.now()): ContentFilter {
  const filter = {
    patterns: query.pattern === undefined ? undefined : parsePatterns(query.pattern),
    upstream: query.upstream,
    platform: query.platform,
    storedBefore: timeOf('olderThan', query.olderThan, now),
    storedAfter: timeOf('newerThan', query.newerThan, now),
    accessedBefore: timeOf('unusedFor', query.unusedFor, now),
    accessedAfter: timeOf('usedWithin', query.usedWithin, now),
    minSize: sizeOf('minSize', query.minSize),
    maxSize: sizeOf('maxSize', query.maxSize),
  };
  if (filter.patterns?.length === 0) throw new BadRequest('pattern', 'no pattern given');
  return Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined));
}

/** A page of the order that `sort` names, `fallback` when it names none. */
export function pageOf<S extends string>(
  query: { readonly limit: number; readonly cursor?: string; readonly sort?: S | `-${S}` },
  fallback: S | `-${S}`,
): Page<S> {
  const order = query.sort ?? fallback;
  const descending = order.startsWith('-');
  const sort = (descending ? order.slice(1) : order) as S;
  return {
    sort,
    descending,
    limit: query.limit,
    ...(query.cursor === undefined ? {} : { after: openCursor(query.cursor, order) }),
  };
}

/** Opaque; holds the order it belongs to, so that one of another order is refused rather than misread. */
export function cursorOf(order: string, keys: readonly string[]): string {
  return Buffer.from(JSON.stringify([order, ...keys])).toString('base64url');
}

function openCursor(cursor: string, order: string): string[] {
  try {
    const [of, ...keys] = JSON.parse(Buffer.from(cursor, 'base64url').toString()) as string[];
    if (of === order && keys.length > 0 && keys.every((key) => typeof key === 'string')) return keys;
  } catch {}
  throw new BadRequest('cursor', 'not a cursor of this list and order');
}

/** A moment: a duration ago, or a time. */
export function timeOf(parameter: string, text: string | undefined, now = Date.now()): Date | undefined {
  if (text === undefined) return undefined;
  const age = parseDuration(text);
  if (age !== undefined) return new Date(now - age);
  const time = /^\d{4}-\d\d-\d\d/.test(text) ? new Date(text) : undefined;
  if (!time || Number.isNaN(time.getTime())) throw new BadRequest(parameter, 'expected a duration or an RFC 3339 time');
  return time;
}

export function sizeOf(parameter: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const size = parseSize(text);
  if (size === undefined) throw new BadRequest(parameter, 'expected a size such as 500MB or 10GiB');
  return size;
}
