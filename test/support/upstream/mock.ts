import { parseArgs } from 'node:util';
import type { AuthOptions } from './auth.js';
import { type FakeUpstream, startFakeUpstream } from './fake-upstream.js';

const USAGE = `usage: npm run mock-upstream -- [flags]
A registry that serves images it makes, and misbehaves as told. Ends with SIGINT or SIGTERM.

  --port N            port (any free one)
  --address A         to listen on (127.0.0.1)
  --image NAME:TAG    an image to serve; may be given again (demo/app:v1)
  --repositories N    also mock/app-1 to mock/app-N, each with the tag v1
  --layers A,B        bytes of the layers of every image (20000,400000)
  --platforms A,B     an index of these platforms instead of one image
  --user U --password P   credentials that it demands
  --auth SCHEME       none, basic or bearer (bearer where a user is given)
  --tls               https with an authority of its own, whose certificate is printed

  --latency MS        before every answer
  --rate BYTES        a second for each body
  --status N          answers this instead of content
  --retry-after S     with the status
  --hang              never answers
  --reset             cuts every connection
  --flip N            flips the byte at this offset of every blob
  --truncate N        cuts every body after so many bytes
  --no-range, --no-head   knows neither Range nor HEAD
  --path REGEXP       only requests of such paths misbehave (all but the token service)

GET /_requests answers how often what was asked for; DELETE /_requests forgets it.
`;

const COUNTED = /\/v2\/.+\/(manifests|blobs|tags|referrers)\/|(\/token)$/;

function fail(message: string): never {
  process.stderr.write(`${message}\n${USAGE}`);
  process.exit(2);
}

function read() {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  try {
    return parseArgs({
      options: {
        help: flag,
        port: { type: 'string', default: '0' },
        address: { type: 'string', default: '127.0.0.1' },
        image: { type: 'string', multiple: true, default: ['demo/app:v1'] },
        repositories: { type: 'string', default: '0' },
        layers: { type: 'string', default: '20000,400000' },
        platforms: text,
        user: text,
        password: text,
        auth: text,
        tls: flag,
        latency: text,
        rate: text,
        status: text,
        'retry-after': text,
        hang: flag,
        reset: flag,
        flip: text,
        truncate: text,
        'no-range': flag,
        'no-head': flag,
        path: text,
      },
    }).values;
  } catch (error) {
    return fail((error as Error).message);
  }
}

type Flags = ReturnType<typeof read>;

function authOf({ auth, user, password }: Flags): AuthOptions {
  const scheme = auth ?? (user === undefined ? 'none' : 'bearer');
  if (scheme === 'none') return { scheme: 'anonymous' };
  if (scheme === 'bearer') return { scheme, ...(user === undefined ? {} : { user, password: password ?? '' }) };
  if (scheme === 'basic' && user !== undefined) return { scheme, user, password: password ?? '' };
  return fail('--auth is none, basic (with --user) or bearer');
}

function fill(upstream: FakeUpstream, { image, repositories, layers, platforms }: Flags): string[] {
  const sizes = layers.split(',').map(Number);
  const names = [...image, ...Array.from({ length: Number(repositories) }, (_, i) => `mock/app-${i + 1}:v1`)];
  for (const [seed, name] of names.entries()) {
    const [, repository = '', tag = ''] = /^([^:]+):([^:]+)$/.exec(name) ?? [];
    if (repository === '' || sizes.some((size) => !(size > 0))) fail('--image is NAME:TAG, --layers are bytes');
    upstream.addImage({
      repository,
      tag,
      seed: seed + 1,
      layers: sizes,
      ...(platforms ? { platforms: platforms.split(','), index: true } : {}),
    });
  }
  return names;
}

function misbehave({ faults }: FakeUpstream, flags: Flags): void {
  const number = (name: 'latency' | 'rate' | 'status' | 'flip' | 'truncate') =>
    flags[name] === undefined ? undefined : Number(flags[name]);
  const [delay, rate, status, flip, truncate] = (['latency', 'rate', 'status', 'flip', 'truncate'] as const).map(
    number,
  );
  const retryAfter = flags['retry-after'];
  if (delay) faults.add({ delay });
  faults.add({
    path: flags.path ? new RegExp(flags.path) : /^\/v2\//,
    hang: flags.hang,
    reset: flags.reset,
    noRange: flags['no-range'],
    noHead: flags['no-head'],
    ...(rate ? { rate } : {}),
    ...(status ? { status } : {}),
    ...(retryAfter ? { headers: { 'retry-after': retryAfter } } : {}),
  });
  // Of blobs alone: a manifest has its digest checked as well, but its bytes at other places.
  if (flip !== undefined || truncate !== undefined) faults.add({ path: /\/blobs\//, flip, truncate });
}

const flags = read();
if (flags.help) {
  process.stdout.write(USAGE);
  process.exit(0);
}
const { address, tls } = flags;
const upstream = await startFakeUpstream({ auth: authOf(flags), tls, address, port: Number(flags.port) });
const names = fill(upstream, flags);
misbehave(upstream, flags);
upstream.onControl = (method, path) => {
  if (path !== '/_requests') return undefined;
  if (method === 'DELETE') upstream.requests.clear();
  const counts: Record<string, number> = {};
  for (const { method: asked, path: of, status } of upstream.requests) {
    const [, kind, token] = COUNTED.exec(of) ?? [];
    const name = `${asked} ${kind ?? (token ? 'token' : 'other')} ${status}`;
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
};
process.stdout.write(`${upstream.url}\n`);
if (upstream.certificates) process.stdout.write(upstream.certificates.ca);
process.stderr.write(
  `${names.length} images: ${names.slice(0, 5).join(', ')}${names.length > 5 ? ', ...' : ''}
through ociregistry, with registries: [{name: "${upstream.host}"${flags.tls ? '' : ', scheme: http'}}]:
  docker pull localhost:8080/${upstream.host}/${names[0]}
`,
);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void upstream.stop());
