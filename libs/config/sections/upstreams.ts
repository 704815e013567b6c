import { z } from 'zod';
import { canonicalHost } from '#oci';
import { duration, file, parseSize, secret, url, word } from '../values.js';

const host = z
  .string({ error: 'expected host or host:port' })
  .refine((name) => canonicalHost(name) !== undefined, { error: 'expected host or host:port, without scheme or path' })
  .transform((name) => name.toLowerCase());

const token = z
  .strictObject({
    provider: word('ecr').optional().meta({
      description: 'Where the token comes from: `ecr` is Amazon ECR, with the credentials that the AWS SDK finds.',
    }),
    providerOpts: z
      .string()
      .regex(/^\s*(profile|region)\s*=[^=,]+(,\s*(profile|region)\s*=[^=,]+)*$/i, 'expected profile=NAME,region=NAME')
      .optional()
      .meta({
        description: '`profile=NAME,region=NAME`; without it as the AWS SDK decides, and the region of the host name.',
      }),
    expiry: duration({ min: 1_000 }).prefault('12h').meta({ description: 'The token is renewed this often.' }),
    ...secret('static', 'A token that you have already.'),
  })
  .optional();

const auth = z
  .strictObject({
    user: z.string().optional().meta({ description: 'User.' }),
    ...secret('password', 'Its password. A file is read again when it changes.'),
    token: token.meta({ description: 'A token of an outside service instead of user and password.' }),
  })
  .prefault({})
  .meta({ description: 'Credentials; anonymous without them.' });

const tls = z
  .strictObject({
    ca: file("CA of the registry; without it the system's."),
    cert: file('Client certificate, PEM.'),
    key: file('Its private key, PEM.'),
    insecureSkipVerify: z.boolean().default(false).meta({ description: "Do not check the registry's certificate." }),
  })
  .prefault({})
  .meta({ description: 'TLS towards the registry.' });

const scheme = word('https', 'http').prefault('https');

const bytes = (description: string) =>
  z
    .union([z.string(), z.number()])
    .transform((value, context): number => {
      const parsed = parseSize(String(value).trim());
      if (parsed !== undefined && parsed > 0) return parsed;
      context.addIssue({ code: 'custom', message: 'expected a size such as 500MB or 10GiB' });
      return z.NEVER;
    })
    .optional()
    .meta({ description });

const registry = z.strictObject({
  name: host.meta({ description: 'Host, or host:port, as clients name it.' }),
  description: z.string().optional().meta({ description: 'For people.' }),
  scheme: scheme.meta({ description: '`http` or `https`.' }),
  auth,
  tls,
  opts: z.record(z.string(), z.unknown()).optional().meta({
    description:
      "The Go server's options of its pull client: `username`, `password`, `cacert`, `tlscert`, `tlskey`, `insecure`, `scheme` hold where `auth`, `tls` and `scheme` say nothing.",
  }),
  mirrors: z
    .array(
      z.strictObject({
        url: url('http', 'https').meta({ description: 'URL of the mirror.' }),
        resolve: z
          .boolean()
          .default(false)
          .meta({ description: 'Trust it to resolve tags too, not only to give bytes.' }),
      }),
    )
    .default([])
    .meta({ description: 'Other endpoints of the same content, tried first.' }),
  content: z
    .strictObject({
      maxManifest: bytes('Largest manifest; never more than 4 MiB.'),
      maxBlob: bytes('Largest config or layer.'),
      mediaTypes: z
        .array(z.string().regex(/^[\w.+-]+\/[\w.+-]*\*?$/, 'expected a media type, with `*` at the end for any rest'))
        .min(1)
        .optional()
        .meta({ description: 'Allowed types of manifests, configs and layers; `*` at the end stands for any rest.' }),
    })
    .optional()
    .meta({ description: 'What is taken from it; else a pull is refused with 403 and nothing is stored.' }),
  maxConcurrency: z.int().min(1).optional().meta({ description: 'Most requests of one puller at a time.' }),
  connections: z.int().min(1).max(16).default(4).meta({
    description: 'Most connections over which one large blob is fetched, where more than one make it faster.',
  }),
  requestsPerSecond: z.number().positive().optional().meta({ description: 'Most requests of one puller a second.' }),
  proxy: url('http', 'https').optional().meta({
    description: 'Proxy to reach it through; without it `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` of the environment.',
    'x-secret': true,
  }),
});

/** The registries that are pulled from. */
export const upstreams = {
  registries: z.array(registry).default([]).meta({ description: 'Registries that need more than their name.' }),
  upstreams: z
    .strictObject({
      allowUnlisted: z.boolean().default(false).meta({
        description: 'Pull from registries that are neither well-known nor configured; never from private addresses.',
      }),
      dockerConfig: file(
        'A docker `config.json`, as `docker login` writes it: credentials of registries that have none here. Its `credHelpers` and `credsStore` are run.',
      ),
      hold: duration().prefault('2s').meta({
        description: 'How long a pull of what is not cached waits for a rate-limited registry before it is refused.',
      }),
    })
    .prefault({})
    .meta({ description: 'Which registries may be pulled from, and how.' }),
};
