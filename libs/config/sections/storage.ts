import { z } from 'zod';
import { duration, file, HOST, port, secret, size, url } from '../values.js';

const postgres = url('postgres', 'postgresql');

const tls = z
  .strictObject({
    ca: file("CA of the peer; without it the system's."),
    cert: file('Own certificate chain, PEM.'),
    key: file('Its private key, PEM.'),
  })
  .optional();

const natsServers = z.array(
  z.string().regex(/^((nats|tls|ws|wss):\/\/)?[^\s/]+$/, 'expected a NATS URL such as nats://host:4222'),
);

/** Where rows, bytes, events and running transfers are. */
export const storage = {
  metadata: z
    .strictObject({
      ...secret(
        'url',
        'PostgreSQL, `postgres://user:password@host:5432/database`; a private one is started without it.',
        postgres,
      ),
      pooler: z.boolean().default(false).meta({
        description:
          'PostgreSQL is behind a pooler in transaction mode (PgBouncer): no prepared statements and no other state of a session.',
      }),
    })
    .prefault({})
    .meta({ description: 'Where facts about content are kept.' }),
  blobs: z
    .strictObject({
      filesystem: z
        .strictObject({
          path: z
            .string()
            .optional()
            .meta({ description: 'Directory of the blobs.', 'x-default': '`<dataDir>/blobs`' }),
        })
        .optional()
        .meta({ description: 'Keep bytes in a directory.' }),
      s3: z
        .strictObject({
          endpoint: url('http', 'https').optional().meta({
            description: 'URL of the S3 server.',
            'x-default': '`https://s3.<region>.amazonaws.com`',
          }),
          region: z.string().min(1).default('us-east-1').meta({ description: 'Region.' }),
          bucket: z
            .string({ error: 'expected the name of a bucket' })
            .regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, 'expected the name of a bucket')
            .meta({ description: 'Bucket; created when it is missing.' }),
          prefix: z.string().default('').meta({ description: 'Put before every object name.' }),
          ...secret('accessKey', 'Access key. Without keys: the environment or the role of the machine.'),
          ...secret('secretKey', 'Secret key.'),
          pathStyle: z
            .boolean()
            .default(true)
            .meta({ description: '`endpoint/bucket/object` instead of `bucket.endpoint/object`.' }),
          ca: file("CA of the endpoint; without it the system's."),
        })
        .optional()
        .meta({ description: 'Keep bytes in any S3.' }),
    })
    .refine((value) => !(value.filesystem && value.s3), { error: 'only one of filesystem and s3 may be set' })
    .prefault({})
    .meta({ description: 'Where bytes are kept: one of `filesystem` and `s3`.' }),
  bus: z
    .strictObject({
      nats: z
        .strictObject({
          servers: natsServers
            .min(1, 'expected at least one server')
            .meta({ description: 'URLs of the servers; a short form is to give one or a list as `bus.nats`.' }),
          user: z.string().optional().meta({ description: 'User.' }),
          ...secret('password', 'Its password.'),
          ...secret('token', 'Token, instead of a user.'),
          credsFile: file('Credentials file (JWT and seed).'),
          tls: tls.meta({ description: 'TLS towards NATS.' }),
          prefix: z
            .string()
            .regex(/^([A-Za-z0-9_-]+)?$/, 'expected letters, digits, - and _')
            .default('')
            .meta({ description: 'Put before stream and subject names, for several registries on one NATS.' }),
          replicas: z
            .int()
            .min(1)
            .max(5)
            .default(1)
            .meta({ description: 'Copies of the work queue in a NATS cluster.' }),
        })
        .optional()
        .meta({ description: 'A URL, a list of URLs, or these keys.', 'x-short': true }),
    })
    .prefault({})
    .meta({ description: 'What joins gateways, pullers and admin; in-process without it.' }),
  relay: z
    .strictObject({
      port: port().default(8082).meta({
        description: 'Port on which a puller gives running transfers to gateways. `0` lets the system choose.',
      }),
      advertise: z.string().regex(HOST, 'expected host:port').optional().meta({
        description: '`host:port` under which gateways reach this puller.',
        'x-default': 'the first address that is not loopback, and `relay.port`',
      }),
      tls: z
        .strictObject({
          cert: file('Certificate chain of this process, PEM.'),
          key: file('Its private key, PEM.'),
          ca: file(
            "CA of the other side. With it gateways and pullers check each other; without it gateways check pullers against the system's.",
          ),
          serverName: z.string().min(1).optional().meta({
            description: "Name in the pullers' certificates.",
            'x-default': 'the host of `relay.advertise`',
          }),
        })
        .optional()
        .meta({
          description:
            'TLS between gateways and pullers; `cert` and `key` are needed. Changed files are read again within seconds.',
        }),
    })
    .prefault({})
    .meta({ description: 'How gateways read running transfers of other processes.' }),
  pulls: z
    .strictObject({
      lease: duration({ min: 2_000 })
        .prefault('10s')
        .meta({ description: 'How long a puller may be silent before another takes its pull over.' }),
      unreadFor: duration()
        .prefault('60s')
        .meta({ description: 'How long a download goes on that a client asked for when nobody reads it any more.' }),
      minRate: size()
        .refine((value) => typeof value === 'number', { error: 'expected bytes a second, such as 1KiB' })
        .transform(Number)
        .prefault('1KiB')
        .meta({
          description:
            'Bytes a second that each connection of a download has to bring; a slower one is opened anew, and given up at the fourth time.',
        }),
      minRateOver: duration({ min: 100 })
        .prefault('30s')
        .meta({ description: 'How long `pulls.minRate` is averaged over.' }),
    })
    .prefault({})
    .meta({ description: 'Pulls.' }),
  spool: z
    .strictObject({
      path: z
        .string()
        .optional()
        .meta({ description: 'Directory of running downloads.', 'x-default': '`<dataDir>/spool`' }),
      maxBytes: size()
        .refine((value) => typeof value !== 'number' || value >= 64 * 2 ** 20, { error: 'expected at least 64MiB' })
        .optional()
        .meta({
          description:
            'Most that running downloads may take of the disk, a size or a percentage of it. When it is used up, new downloads wait.',
          'x-default': '`20GiB`, at most half of what is free at the start',
        }),
    })
    .prefault({})
    .meta({ description: 'Running downloads.' }),
  workers: z
    .int()
    .min(1)
    .max(1_024)
    .default(8)
    .meta({ description: 'Pulls that one puller runs at a time; of manifests and lists four count as one.' }),
};
