import { z } from 'zod';

// The words of the REST API: one place for validation, types and the OpenAPI document.

export const time = z.iso.datetime();
export const bytes = z.int().min(0).meta({ description: 'Bytes.' });
/** How times and ages are given. */
export const AGE = 'A duration such as `30d` or `12h`, or an RFC 3339 time.';
export const digest = z.string().meta({ description: '`sha256:...` or `sha512:...`.' });

/** Schemas that the OpenAPI document names. */
export const MODELS = new Map<z.ZodType, string>();
export function model<T extends z.ZodType>(id: string, schema: T): T {
  MODELS.set(schema, id);
  return schema;
}

const held = {
  reference: z.string().meta({ description: '`<upstream>/<repository>:<tag>`, or `@<digest>` where no tag names it.' }),
  upstream: z.string(),
  repository: z.string().meta({ description: 'Path below the upstream.' }),
  digest,
  mediaType: z.string(),
  artifactType: z.string().optional(),
  storedAt: time,
  lastAccess: time.meta({ description: 'Exact to a minute.' }),
};

export const Image = model(
  'Image',
  z.object({
    ...held,
    tag: z.string().optional(),
    platforms: z.array(z.string()).meta({ description: 'Of an index: those of its children that are held.' }),
    size: bytes.meta({ description: 'Bytes of all that the repository holds of it, shared or not.' }),
  }),
);
export const Manifest = model(
  'Manifest',
  z.object({
    ...held,
    subject: digest.optional(),
    size: bytes.meta({ description: 'Bytes of the manifest itself.' }),
    tags: z.array(z.string()).meta({ description: 'At most 100.' }),
  }),
);
export const Tag = model(
  'Tag',
  z.object({
    reference: z.string(),
    upstream: z.string(),
    repository: z.string(),
    tag: z.string(),
    digest,
    mediaType: z.string(),
    checkedAt: time.meta({ description: 'When the upstream last confirmed it.' }),
    movedAt: time.meta({ description: 'Since when it names this digest.' }),
  }),
);
export const Blob = model(
  'Blob',
  z.object({
    digest,
    size: bytes,
    storedAt: time,
    lastAccess: time,
    repositories: z.int().meta({ description: 'How many hold it.' }),
  }),
);

const content = z.object({
  kind: z.enum(['config', 'layer']),
  digest,
  size: bytes,
  held: z.boolean().meta({ description: 'Whether its bytes are stored.' }),
  sharedBy: z.array(z.string()).meta({ description: 'Other repositories with it, at most 20.' }),
});
export const ImageNode = model(
  'ImageNode',
  z.object({
    digest,
    mediaType: z.string().optional(),
    platform: z.string().optional(),
    size: bytes,
    held: z.boolean().meta({ description: 'Whether the repository holds it.' }),
    lastAccess: time.optional(),
    lastClient: z.string().optional().meta({
      description: 'Who asked for it last, within the minute: address and User-Agent, as a gateway saw them.',
    }),
    get children() {
      return z.array(ImageNode);
    },
    contents: z.array(content),
  }),
);
export const ImageDetail = model(
  'ImageDetail',
  Image.extend({
    tree: ImageNode,
    history: z
      .array(z.object({ at: time, digest: digest.optional() }))
      .meta({ description: 'Moves of the tag, the newest first; without a digest the upstream had removed it.' }),
  }),
);

export const FailureInfo = model(
  'Failure',
  z.object({
    reason: z.string(),
    message: z.string(),
    origin: z.string(),
    retryable: z.boolean(),
    retryAfter: z.number().optional(),
  }),
);
const targetKind = z.enum(['manifest', 'blob', 'tag', 'tags', 'referrers']);

export const Pull = model(
  'Pull',
  z.object({
    key: z.string(),
    kind: targetKind,
    upstream: z.string(),
    repository: z.string(),
    reference: z.string().optional().meta({ description: 'Tag or digest; none of a list of tags.' }),
    state: z.enum(['running', 'done', 'failed']),
    attempt: z.int(),
    worker: z.string(),
    size: bytes.optional(),
    startedAt: time,
    finishedAt: time.optional(),
    durationMs: z.number().optional().meta({ description: 'Of a finished one.' }),
    failure: FailureInfo.optional(),
    progress: z
      .object({ received: bytes, readers: z.int(), bytesPerSecond: z.number() })
      .optional()
      .meta({ description: 'Of a running transfer, as its puller told within the last seconds.' }),
  }),
);
export const QueuedPull = model(
  'QueuedPull',
  z.object({
    key: z.string(),
    kind: targetKind,
    upstream: z.string(),
    repository: z.string(),
    reference: z.string().optional(),
    lane: z.enum(['interactive', 'background']),
    cause: z.enum(['client', 'prefetch', 'revalidate', 'preload', 'watch']),
  }),
);
export const Queue = model(
  'Queue',
  z.object({ interactive: z.int(), background: z.int() }).meta({ description: 'Pulls queued or running, by lane.' }),
);

export const Problem = model(
  'Problem',
  z
    .object({
      type: z.string(),
      title: z.string(),
      status: z.int(),
      detail: z.string().optional(),
      errors: z.array(z.object({ parameter: z.string(), message: z.string() })).optional(),
    })
    .meta({ description: 'RFC 9457.' }),
);

export const page = <T extends z.ZodType>(item: T) =>
  z.object({
    items: z.array(item),
    next: z.string().optional().meta({ description: '`cursor` of the next page; absent on the last one.' }),
  });

export const Upstream = model(
  'Upstream',
  z.object({
    upstream: z.string(),
    configured: z.boolean(),
    repositories: z.int(),
    tags: z.int(),
    manifests: z.int(),
  }),
);

export const PullEvents = model(
  'PullEvents',
  z
    .object({ running: z.array(Pull), finished: z.array(Pull), queue: Queue })
    .meta({ description: 'All that run, the last 50 that ended, and how much is queued.' }),
);
export const CancelledPull = model('CancelledPull', z.object({ was: z.enum(['running', 'queued']) }));

const milliseconds = z.number().meta({ description: 'Milliseconds.' });

export const UpstreamState = model(
  'UpstreamState',
  z.object({
    upstream: z.string().meta({ description: 'Host of an upstream or of a mirror.' }),
    configured: z.boolean(),
    pause: z
      .object({
        cause: z.enum(['rate-limited', 'exhausted', 'manual']),
        remaining: milliseconds,
        countedOnly: z.boolean().meta({ description: 'Requests that the upstream does not count go on.' }),
      })
      .optional(),
    failingFor: milliseconds.optional().meta({ description: 'Some puller leaves it alone after repeated failures.' }),
    quota: z
      .object({
        limit: z.int(),
        remaining: z.int(),
        window: z.int().optional().meta({ description: 'Seconds.' }),
        reset: z.int().optional().meta({ description: 'Seconds, counted from when it was told.' }),
        age: milliseconds,
      })
      .optional()
      .meta({ description: 'Its rate limit, as it told last.' }),
  }),
);

export const Explanation = model(
  'Explanation',
  z.object({
    reference: z.string(),
    verdict: z.enum(['serve', 'revalidate', 'ask', 'pull', 'refuse']).meta({
      description:
        'serve: from the cache. revalidate: from the cache, the upstream is asked afterwards. ask: the upstream is asked first. pull: it is fetched. refuse: nobody is asked.',
    }),
    why: z.array(z.string()),
    cached: z
      .object({ digest, mediaType: z.string(), size: bytes, parts: z.int(), partsCached: z.int() })
      .optional()
      .meta({ description: 'The manifest, and how many of the parts it names are cached.' }),
    tag: z
      .object({
        freshness: z.enum(['fresh', 'stale', 'expired']),
        age: milliseconds,
        freshFor: milliseconds.optional(),
        staleFor: milliseconds.optional(),
      })
      .optional(),
    upstream: UpstreamState.optional(),
    pull: z
      .object({ state: z.enum(['running', 'finished']), failure: z.string().optional(), age: milliseconds })
      .optional()
      .meta({ description: 'The pull of this manifest that runs, or how the last one ended.' }),
  }),
);

const used = {
  hits: z.int().meta({ description: 'Requests answered without waiting for the upstream.' }),
  misses: z.int(),
  failures: z.int(),
  hitRatio: z.number().nullable().meta({ description: '0 to 1; null without requests.' }),
  bytesServed: bytes,
  bytesFetched: bytes,
  bytesSaved: bytes,
  upstreamRequests: z.int(),
  upstreamRequestsSaved: z.int(),
};
const Used = model('Used', z.object(used));
export const Usage = model(
  'Usage',
  z.object({
    ...used,
    byKind: z.object({ manifest: Used, blob: Used, list: Used }),
    byUpstream: z.array(Used.extend({ upstream: z.string() })),
  }),
);

export const Stats = model(
  'Stats',
  z.object({
    content: z
      .object({
        repositories: z.int(),
        tags: z.int(),
        manifests: z.int(),
        manifestBytes: bytes,
        blobs: z.int(),
        blobBytes: bytes,
      })
      .meta({ description: 'What is cached; every blob and manifest counts once.' }),
    usage: z
      .object({ '1h': Usage, '24h': Usage, '30d': Usage })
      .meta({ description: 'Of all processes, to five minutes; kept over restarts.' }),
    queue: Queue,
  }),
);
