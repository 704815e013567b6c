import { z } from 'zod';
import { parseReference } from '#oci';
import { duration, parseSize, secret, size, word } from '../values.js';

const platform = z
  .string()
  .regex(/^[a-z0-9]+\/[a-z0-9]+(\/[a-z0-9]+)?$/, 'expected os/architecture, such as linux/amd64');
const reference = z.string().regex(/^\S+$/, 'expected an image reference');
const tagged = z.string().refine(
  (text) => {
    try {
      return parseReference(text).digest === undefined;
    } catch {
      return false;
    }
  },
  { error: 'expected an image reference with a tag' },
);
const glob = z.string().regex(/^[^\s/:]+(:\d+)?\/[^\s:]+:[^\s/]+$/, 'expected <upstream>/<repository glob>:<tag glob>');

const schedule = z
  .string()
  .refine((value) => /^(\d+(\.\d+)?(s|m|h|d))+$/.test(value) || /^[\d*,/-]+( [\d*,/-]+){4}$/.test(value), {
    error: 'expected an interval such as 24h, or five cron fields such as "0 3 * * *"',
  });

function hook(whose: string) {
  return z
    .strictObject(secret('secret', 'What the sender has to know; without one the admin token is needed.'))
    .prefault({})
    .meta({ description: `Webhooks: ${whose}.` });
}

/** What is kept, how fresh it is, and what is fetched ahead. */
export const policy = {
  pruneConfig: z
    .strictObject({
      enabled: z.boolean().default(false).meta({ description: 'Prune in the background.' }),
      duration: duration().prefault('30d').meta({ description: 'Age from which content goes.' }),
      type: word('accessed', 'created', 'pattern')
        .prefault('accessed')
        .meta({ description: 'Age since the last pull, since creation, or by `expr`.' }),
      expr: z
        .string()
        .optional()
        .meta({ description: 'Regular expressions of image references, separated by commas, for `pattern`.' }),
      frequency: duration({ min: 1_000 }).prefault('1d').meta({ description: 'How often it runs.' }),
      count: z.int().min(-1).default(-1).meta({ description: 'Most images of one run; `-1` is no limit.' }),
      dryRun: z.boolean().optional().meta({ description: 'Only log what would go.', 'x-default': '`false`' }),
      dryrun: z.boolean().optional().meta({ description: 'Another spelling of `dryRun`.' }),
    })
    .transform(({ dryrun, dryRun, ...rest }) => ({ ...rest, dryRun: dryRun ?? dryrun ?? false }))
    .prefault({})
    .meta({ description: 'Pruning in the background.' }),
  cache: z
    .strictObject({
      maxSize: size().optional().meta({
        description: 'Budget of the cache; the least recently used goes first.',
        'x-default': '`80%` of the disk for `blobs.filesystem`, none for `blobs.s3`',
      }),
      protect: duration().prefault('10m').meta({ description: 'Content served this recently is never pruned.' }),
      keep: z.array(z.string().min(1)).default([]).meta({ description: 'Patterns of images that are never pruned.' }),
    })
    .prefault({})
    .meta({ description: 'What stays.' }),
  tags: z
    .strictObject({
      fresh: duration().prefault('60s').meta({ description: 'Age up to which a tag is served without a question.' }),
      stale: duration()
        .prefault('24h')
        .meta({ description: 'Age up to which it is served at once and checked afterwards.' }),
      rules: z
        .array(
          z.strictObject({
            match: glob.meta({ description: '`<upstream>/<repository glob>:<tag glob>`.' }),
            fresh: duration().optional().meta({ description: 'As `tags.fresh`.' }),
            stale: duration().optional().meta({ description: 'As `tags.stale`.' }),
            pin: z.boolean().default(false).meta({ description: 'Never check again.' }),
            alwaysPull: z.boolean().default(false).meta({ description: 'Check on every pull.' }),
          }),
        )
        .default([])
        .meta({ description: 'Exceptions; the first match decides.' }),
    })
    .prefault({})
    .meta({ description: 'How long tags are believed.' }),
  prefetch: z
    .strictObject({
      enabled: z
        .boolean()
        .default(true)
        .meta({ description: 'Fetch config and layers as soon as a client has asked for the manifest.' }),
      platforms: z
        .array(platform)
        .default([])
        .meta({ description: 'Only for images of these platforms; empty is every one that is asked for.' }),
      referrers: z.boolean().default(false).meta({
        description:
          'What refers to a pulled image (signatures, attestations, SBOMs) too; the upstream is asked for its list.',
      }),
    })
    .prefault({})
    .meta({ description: 'Fetching ahead.' }),
  preload: z
    .strictObject({
      schedule: schedule
        .optional()
        .meta({ description: 'When the images are loaded again: an interval or five cron fields.' }),
      images: z.array(reference).default([]).meta({ description: 'Image references.' }),
    })
    .prefault({})
    .meta({ description: 'Images that are loaded without being asked for.' }),
  watch: z
    .array(
      z.strictObject({
        image: tagged.meta({ description: 'Reference with the tag to watch.' }),
        every: duration({ min: 1_000 }).prefault('15m').meta({ description: 'How often the upstream is asked.' }),
      }),
    )
    .default([])
    .meta({ description: 'Tags that are fetched when they move.' }),
  hooks: z
    .strictObject({
      uncached: z
        .boolean()
        .default(false)
        .meta({ description: 'Fetch what they tell of even when it is neither cached nor watched.' }),
      docker: hook("Docker Hub's, and those of a distribution registry"),
      github: hook("GitHub's"),
      harbor: hook("Harbor's"),
      quay: hook("Quay's"),
      cloudevents: hook('those that send CloudEvents'),
    })
    .prefault({})
    .meta({ description: 'Webhooks of registries, `POST /api/v1/hooks/...`.' }),
  history: z
    .strictObject({
      pulls: duration().prefault('7d').meta({ description: 'How long finished pulls are remembered.' }),
      tags: duration().prefault('90d').meta({ description: 'How long the moves of tags are remembered.' }),
    })
    .prefault({})
    .meta({ description: 'What is remembered.' }),
  verify: z
    .strictObject({
      atStart: z
        .boolean()
        .default(true)
        .meta({ description: 'Compare sizes of stored blobs in the background after a start.' }),
      rate: z
        .union([z.string(), z.number()])
        .prefault('50MB')
        .transform((value, context) => {
          const bytes = parseSize(String(value));
          if (bytes !== undefined && bytes > 0) return bytes;
          context.addIssue({ code: 'custom', message: 'expected a size such as 50MB' });
          return z.NEVER;
        })
        .meta({ description: 'What a verification reads a second at most.' }),
    })
    .prefault({})
    .meta({ description: 'Checking what is stored.' }),
  journal: z
    .strictObject({
      every: duration({ min: 1_000 }).prefault('1h').meta({
        description: 'How often the journal beside the blobs is looked at, and written anew when it has grown.',
      }),
    })
    .prefault({})
    .meta({ description: 'What `rebuild` reads.' }),
  redirect: z.enum(['never', 'auto', 'always']).default('never').meta({
    description:
      'Send clients to the S3 server for blobs of more than 64 KiB: `never`, `always`, or `auto`: where it has an https endpoint with a public name.',
  }),
};
