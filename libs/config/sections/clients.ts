import { z } from 'zod';
import { duration, secret } from '../values.js';

const repositories = z
  .string()
  .regex(
    /^(\*\*|[A-Za-z0-9.*?:[\]-]+\/[a-z0-9._*?-]+(\/[a-z0-9._*?-]+)*)$/,
    'expected <upstream>/<repository glob> such as docker.io/library/* or ghcr.io/acme/**, or ** for everything',
  );

/** Who may pull. */
export const clients = z
  .strictObject({
    htpasswd: z.string().min(1).meta({
      description: 'File with users and bcrypt hashes, as `htpasswd -B` writes it; read again when it changes.',
      'x-file': true,
    }),
    rules: z
      .array(
        z.strictObject({
          users: z
            .array(z.string().min(1))
            .min(1)
            .meta({ description: 'Names of users; `*` is everyone who has one.' }),
          allow: z.array(repositories).meta({
            description: '`<upstream>/<repository glob>`, of which they may pull; `**` is everything.',
          }),
        }),
      )
      .optional()
      .meta({
        description: 'Who may pull what; what several rules allow adds up.',
        'x-default': 'every user everything',
      }),
    anonymous: z
      .array(repositories)
      .default([])
      .meta({ description: 'What may be pulled without a name; `<upstream>/<repository glob>`.' }),
    service: z
      .string()
      .regex(/^[A-Za-z0-9._:/-]{1,255}$/, 'expected letters, digits, `.`, `_`, `:`, `/`, `-`')
      .default('ociregistry')
      .meta({ description: 'Name of this installation in challenges and tokens.' }),
    tokenLifetime: duration({ min: 60_000 }).prefault('5m').meta({ description: 'How long a token is good for.' }),
    ...secret(
      'tokenKey',
      'What tokens are signed with, the same for all gateways; at least 32 characters. Required by the distributed stack; else made once and kept in `dataDir`.',
      z.string().min(32, 'must have at least 32 characters'),
    ),
  })
  .optional()
  .meta({ description: 'Who may pull; everybody without it.' });
