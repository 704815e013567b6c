import { isIP } from 'node:net';
import { z } from 'zod';
import { canonicalHost } from '#oci';
import { duration, file, port, secret, url, word } from '../values.js';
import { clients } from './clients.js';

/** How the Go server and we name the levels; `fatal` and `panic` of Go are one level here. */
const level = z
  .string()
  .transform((value, context) => {
    const name = value.toLowerCase();
    if (name === 'warning') return 'warn' as const;
    if (name === 'panic') return 'fatal' as const;
    const levels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;
    const found = levels.find((candidate) => candidate === name);
    if (found !== undefined) return found;
    context.addIssue({ code: 'custom', message: `expected one of ${levels.join(', ')}` });
    return z.NEVER;
  })
  .meta({ enum: ['trace', 'debug', 'info', 'warn', 'warning', 'error', 'fatal', 'panic'] });

/** An IP address, or a network as address and number of bits. */
const network = z.string().refine(
  (text) => {
    const [address = '', bits, more] = text.split('/');
    const family = isIP(address);
    if (family === 0 || more !== undefined) return false;
    return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128));
  },
  { error: 'expected an address or a network such as 10.0.0.0/8' },
);

function share(normal: number, what: string) {
  return z
    .number()
    .min(0)
    .max(1)
    .default(normal)
    .meta({ description: `Share ${what} that get a line: \`0\` none, \`0.01\` every hundredth, \`1\` all.` });
}

/** Listening, logging and what the Go server keeps at the top level. */
export const server = {
  port: port().default(8080).meta({ description: 'Port of the registry. `0` lets the system choose.' }),
  host: z.string().min(1).default('0.0.0.0').meta({ description: 'Address that the registry listens on.' }),
  logLevel: level
    .prefault('info')
    .meta({ description: 'Least severe level that is logged; letter case does not matter.' }),
  logFile: z.string().optional().meta({ description: 'File for the log; without it the log goes to stdout.' }),
  accessLog: z
    .strictObject({
      hits: share(0, 'of the requests that were answered from the cache'),
      misses: share(1, 'of those that had to wait for an upstream'),
      failures: share(1, 'of those that were refused or broke'),
      slow: duration().prefault('10s').meta({ description: 'Requests that took this long always get a line.' }),
    })
    .prefault({})
    .meta({ description: 'Which requests get a line in the log.' }),
  configFile: z.string().optional().meta({ description: 'Path of the configuration file. Only as flag or variable.' }),
  imagePath: z.string().optional().meta({ description: "The Go server's name for `dataDir`." }),
  dataDir: z.string().optional().meta({
    description: 'Directory of everything that is kept.',
    'x-default': '`imagePath`, else `/var/lib/ociregistry` for root, else `$XDG_DATA_HOME/ociregistry`',
  }),
  os: z.string().optional().meta({
    description: 'Operating system of what is loaded ahead (`preload`, the command `load`) and names no platform.',
    'x-default': 'of this machine',
  }),
  arch: z.string().optional().meta({
    description: 'Its architecture, in Go notation (`amd64`). Clients choose for themselves, and these are not asked.',
    'x-default': 'of this machine',
  }),
  pullTimeout: duration({ bare: 'ms' })
    .transform((ms) => (ms === 0 ? 60_000 : ms))
    .prefault(60_000)
    .meta({ description: 'How long a client waits for a pull to give its first byte. A bare number is milliseconds.' }),
  alwaysPullLatest: z
    .boolean()
    .default(false)
    .meta({ description: 'Ask the upstream for the tag `latest` on every pull.' }),
  airGapped: z.boolean().default(false).meta({ description: 'Never ask an upstream; serve what is cached.' }),
  helloWorld: z
    .boolean()
    .default(false)
    .meta({ description: 'Serve only a built-in `docker.io/library/hello-world:latest`. For testing.' }),
  defaultNs: z
    .union([
      z.literal(''),
      z.string().refine((name) => canonicalHost(name) !== undefined, {
        error: 'expected host or host:port, without scheme or path',
      }),
    ])
    .default('docker.io')
    .meta({ description: 'Upstream of a pull that names none. Empty switches it off.' }),
  health: port()
    .optional()
    .meta({ description: 'Opens `/health` on a port of its own as well. `0` is off.', 'x-default': 'off' }),
  metrics: port()
    .optional()
    .meta({ description: 'Opens `/metrics` on a port of its own as well. `0` is off.', 'x-default': 'off' }),
  preloadImages: file('File with image references, one a line, to load at start.'),
  imageFile: z
    .string()
    .optional()
    .meta({ description: 'List of image references, or an archive, for the command `load`.' }),
  resolveRef: z
    .union([z.boolean(), z.string()])
    .optional()
    .meta({ description: 'Name of the image in the archive that the command `load` is given.' }),
  listConfig: z
    .strictObject({
      header: z.boolean().default(false).meta({ description: 'Print a header line.' }),
      expr: z.string().optional().meta({ description: 'Regular expressions, separated by commas.' }),
    })
    .prefault({})
    .meta({ description: 'Defaults of the command `list`.' }),
  serverTlsConfig: z
    .strictObject({
      cert: file('Certificate chain of the registry, PEM.'),
      key: file('Its private key, PEM.'),
      ca: file("CA that clients' certificates are checked against; without it the system's."),
      clientAuth: word('none', 'verify')
        .prefault('none')
        .meta({ description: '`verify` demands a client certificate.' }),
    })
    .prefault({})
    .meta({ description: 'TLS towards clients; plain HTTP without it.' }),
  clientAuth: clients,
  adminPort: port().optional().meta({
    description: 'Port of the REST API, web UI, health and metrics. `0` lets the system choose.',
    'x-default': '`8081`; the next free one when another key has taken it',
  }),
  admin: z
    .strictObject({
      host: z.string().min(1).default('127.0.0.1').meta({ description: 'Address that the admin port listens on.' }),
      ...secret(
        'token',
        'Bearer token that calls which change something need. Without one they are refused from other than loopback addresses.',
      ),
    })
    .prefault({})
    .meta({ description: 'The admin API.' }),
  pathPrefix: z
    .string()
    .regex(
      /^\/?[a-z0-9._-]+(\/[a-z0-9._-]+)*\/?$|^$/,
      'expected path segments of lower-case letters, digits, `.`, `_`, `-`',
    )
    .default('')
    .meta({
      description:
        'Path that clients put before or after `/v2`: `/PREFIX/v2/...` and `/v2/PREFIX/...` are answered as `/v2/...`.',
    }),
  serverTiming: z
    .boolean()
    .default(true)
    .meta({ description: 'Tell clients in `Server-Timing` how an answer came about that was not simply cached.' }),
  publicUrl: url('http', 'https').optional().meta({
    description:
      'URL under which clients reach the registry, as challenges and Links name it; its path is one that a proxy in front takes away.',
  }),
  trustProxy: z
    .union([z.boolean(), z.array(network)], {
      error: 'expected true, false or a list of addresses or networks',
    })
    .default(false)
    .meta({
      description:
        'Believe `X-Forwarded-Prefix`, `-Proto`, `-Host`, `-Port` and `-For` of everyone, or of these addresses or networks.',
    }),
};
