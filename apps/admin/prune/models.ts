import { z } from 'zod';
import { AGE, bytes, digest, model, time } from '../api/models.js';

const pruned = {
  images: z.int().meta({ description: 'Images of a repository, as a whole.' }),
  tags: z.int(),
  manifests: z.int().meta({ description: 'Manifests that no repository holds any more.' }),
  blobs: z.int().meta({ description: 'Blobs that no repository holds any more.' }),
  bytes: bytes.meta({ description: 'Bytes of those manifests and blobs.' }),
};

export const PruneRule = model(
  'PruneRule',
  z
    .strictObject({
      pattern: z.string().max(2000).optional().meta({
        description:
          'Regular expressions of references, separated by commas, not anchored, or `glob:`. Of an image with several tags only those that match go.',
      }),
      unusedFor: z
        .string()
        .max(200)
        .optional()
        .meta({ description: `Not served since. ${AGE}` }),
      olderThan: z
        .string()
        .max(200)
        .optional()
        .meta({ description: `Not stored since. ${AGE}` }),
      toSize: z
        .union([z.string().max(50), z.int().min(0)])
        .optional()
        .meta({ description: 'What blobs may still take: a size such as `10GiB`. The least recently used go.' }),
      count: z.int().min(1).optional().meta({ description: 'Images at most, the least recently used first.' }),
    })
    .meta({ description: 'Images that all of it holds for; every image when nothing is given.' }),
);

export const PruneJob = model(
  'PruneJob',
  z.object({
    id: z.string(),
    cause: z.enum(['request', 'schedule', 'size']).meta({
      description: 'Asked for, by `pruneConfig`, or by `cache.maxSize`.',
    }),
    state: z.enum(['planned', 'running', 'done', 'failed', 'cancelled']),
    rule: z
      .object({
        patterns: z.array(z.string()).optional(),
        accessedBefore: time.optional(),
        storedBefore: time.optional(),
        toSize: bytes.optional(),
        count: z.int().optional(),
      })
      .meta({ description: 'Ages as the moments they meant.' }),
    createdAt: time,
    finishedAt: time.optional(),
    planned: z.object({
      ...pruned,
      protected: z.int().meta({
        description: 'Images that the rule is for and that stay: kept, pinned or served within `cache.protect`.',
      }),
      everything: z.boolean().meta({ description: 'Nothing would be left; carried out only with `all`.' }),
      above: bytes.optional().meta({ description: 'Bytes above `toSize` that protected images keep.' }),
    }),
    removed: z.object(pruned).meta({ description: 'So far.' }),
    error: z.string().optional(),
  }),
);

export const PruneImage = model(
  'PruneImage',
  z.object({
    references: z.array(z.string()).meta({ description: 'The tags that go, or the digest of an image without any.' }),
    digest,
    whole: z.boolean().meta({ description: 'Whether no other tag names the image.' }),
    lastAccess: time,
  }),
);
