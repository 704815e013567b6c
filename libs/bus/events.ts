import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { FailureRecord, Target } from '#oci';

/** Newer minor fields are ignored; an event of a newer major stays in the queue for newer workers. */
export const EVENT_MAJOR = 1;

export type Lane = 'interactive' | 'background';
export const LANES: readonly Lane[] = ['interactive', 'background'];

const repository = z.object({ upstream: z.string().min(1).max(255), path: z.string().min(1).max(255) });
const digest = z.custom<`sha256:${string}` | `sha512:${string}`>(
  (v) => typeof v === 'string' && /^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/.test(v),
  'not a digest',
);

export const targetSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('manifest'), repository, reference: z.string().min(1).max(256) }),
  z.object({ kind: z.literal('blob'), repository, digest, size: z.number().int().nonnegative().optional() }),
  z.object({ kind: z.literal('tag'), repository, reference: z.string().min(1).max(256) }),
  z.object({ kind: z.literal('tags'), repository }),
  z.object({ kind: z.literal('referrers'), repository, digest }),
]);

export const pullRequestedSchema = z.object({
  v: z.number().int(),
  /** `pullKey(target)`. */
  key: z.string().regex(/^[0-9a-f]{40}$/),
  target: targetSchema,
  lane: z.enum(['interactive', 'background']),
  /** Why: a client waits, prefetch of an image, revalidation of a tag, preload. For logs and `explain`. */
  cause: z.enum(['client', 'prefetch', 'revalidate', 'preload', 'watch']),
  requestId: z.string().max(128).optional(),
  /** The caches that the request has passed, as `Via` says them, so that a loop of caches is seen. */
  via: z.string().max(1024).optional(),
  /** The tag was not known a moment ago: no need to look. */
  unknown: z.boolean().optional(),
  /** Do nothing when the tag, or the list, was checked within this many milliseconds. */
  maxAge: z.number().nonnegative().optional(),
  /** Of a blob that is held: the store does not give its bytes, so they are fetched all the same. */
  refetch: z.boolean().optional(),
});
export type PullRequested = z.infer<typeof pullRequestedSchema>;

/** Where a gateway reads a running transfer. `url` is empty for a transfer in the same process. */
export const relayAddressSchema = z.object({
  url: z.string(),
  transfer: z.string(),
  token: z.string(),
});
export type RelayAddress = z.infer<typeof relayAddressSchema>;

/** Who gave the content, and how long that took; without it nobody was asked. */
const source = z.object({
  /** Host of the upstream, or of its mirror. */
  from: z.string().max(255),
  /** Milliseconds until it answered, and those of them that the question was held back. */
  ms: z.number().nonnegative(),
  held: z.number().nonnegative().optional(),
});
export type PullSource = z.infer<typeof source>;

const failure = z.custom<FailureRecord>((v) => typeof v === 'object' && v !== null && 'reason' in v);

export const signalSchemas = {
  'pull.started': z.object({
    v: z.number().int(),
    key: z.string(),
    relay: relayAddressSchema,
    /** Bytes, when known. */
    size: z.number().int().nonnegative().optional(),
    source: source.optional(),
  }),
  'pull.finished': z.object({
    v: z.number().int(),
    key: z.string(),
    failure: failure.optional(),
    /** Bytes of a blob that is now held by the repository. */
    size: z.number().int().nonnegative().optional(),
    source: source.optional(),
  }),
  /** A tag now names another digest, or (without `digest`) nothing. */
  'tag.moved': z.object({ v: z.number().int(), repository, tag: z.string(), digest: digest.optional() }),
  /** What a tag names, told by HEAD; the manifest is not here. `size` in bytes. */
  'tag.resolved': z.object({
    v: z.number().int(),
    repository,
    tag: z.string(),
    digest,
    mediaType: z.string(),
    size: z.number().int().nonnegative(),
  }),
  /** With `repository` from this one only; else from all. */
  'content.removed': z.object({ v: z.number().int(), digests: z.array(digest), repository: repository.optional() }),
  /** An operator wants no more of the pull with this row (`PullRow.key`). */
  'pull.cancelled': z.object({ v: z.number().int(), row: z.string() }),
  /** What a puller's transfers have received, every second while there are any. */
  'pull.progress': z.object({
    v: z.number().int(),
    transfers: z.array(
      z.object({
        row: z.string(),
        received: z.number().int().nonnegative(),
        size: z.number().int().nonnegative().optional(),
        readers: z.number().int().nonnegative(),
      }),
    ),
  }),
  /** `until` in epoch milliseconds; 0 when its requests go again. The row says why. */
  'upstream.paused': z.object({ v: z.number().int(), upstream: z.string(), until: z.number() }),
} as const;

export type SignalName = keyof typeof signalSchemas;
export type Signals = { [N in SignalName]: z.infer<(typeof signalSchemas)[N]> };

/** The identity of the work: equal targets of every client, gateway and lane share it. 40 hex characters. */
export function pullKey(target: Target): string {
  const { upstream, path } = target.repository;
  return createHash('sha256')
    .update(`${target.kind}\0${upstream}\0${path}\0${whatOf(target)}`)
    .digest('hex')
    .slice(0, 40);
}

function whatOf(target: Target): string {
  if (target.kind === 'tags') return '';
  return 'reference' in target ? target.reference : target.digest;
}
