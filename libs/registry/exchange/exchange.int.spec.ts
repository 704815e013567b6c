import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { openScratch, readTar, tarStream } from '#archive';
import type { BlobStore } from '#blobs';
import { createFsBlobStore } from '#blobs/adapters';
import { InProcessBus } from '#bus/adapters';
import type { Catalog } from '#catalog';
import { connectCatalog, migrate } from '#catalog/adapters';
import { type Digest, parseReference } from '#oci';
import { type PostgresService, startPostgres } from '../../../test/support/services/index.js';
import { type MadeImage, makeImage, makeIndex } from '../../../test/support/upstream/images.js';
import { bytesOf } from '../../../test/support/upstream/index.js';
import { digestsOfMember, exportMembers, importArchive, planExport } from '../index.js';

jest.setTimeout(120_000);

type Member = readonly [name: string, bytes: Buffer | string | { readonly link: string; readonly hard?: boolean }];

const sha = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest('hex');
const blobPath = (digest: string) => `blobs/${digest.replace(':', '/')}`;
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

function tarOf(members: readonly Member[]): Promise<Buffer> {
  const archive = pack();
  for (const [name, value] of members) {
    if (typeof value === 'object' && 'link' in value)
      archive.entry({ name, type: value.hard ? 'link' : 'symlink', linkname: value.link });
    else archive.entry({ name }, value);
  }
  archive.finalize();
  return collect(archive);
}

async function collect(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function blobsOf(image: MadeImage): Member[] {
  return [...image.layers, image.config].map((blob) => [blobPath(blob.digest), bytesOf(blob)]);
}

/** An OCI layout with the given names of one root. */
function layout(
  root: { mediaType: string; digest: string; bytes: Buffer; size: number },
  images: readonly MadeImage[],
  annotations: readonly Record<string, string>[],
): Member[] {
  const entry = { mediaType: root.mediaType, digest: root.digest, size: root.size };
  const manifests = annotations.map((one) => ({ ...entry, annotations: one }));
  const members: Member[] = [
    ['oci-layout', '{"imageLayoutVersion":"1.0.0"}'],
    ...images.flatMap(blobsOf),
    ...images.map(({ digest, bytes }): Member => [blobPath(digest), bytes]),
    [blobPath(root.digest), root.bytes],
    ['index.json', JSON.stringify({ schemaVersion: 2, manifests })],
  ];
  return [...new Map(members.map((member) => [member[0], member])).values()];
}

let seed = 1;
/** An image that no other test has. */
const fresh = (layers: number[] = [5000]) => makeImage({ layers, seed: 10_000 + seed++ });

describe('archives in and out', () => {
  let postgres: PostgresService;
  let catalog: Catalog;
  let blobs: BlobStore;
  let bus: InProcessBus;
  const directory = mkdtempSync(join(tmpdir(), 'exchange-'));

  beforeAll(async () => {
    postgres = await startPostgres({ version: 18 });
    await migrate({ url: postgres.url });
    catalog = await connectCatalog({ url: postgres.url });
    blobs = createFsBlobStore({ path: join(directory, 'blobs') });
    bus = new InProcessBus();
  });
  afterAll(async () => {
    await catalog?.close();
    await blobs?.close();
    await postgres?.stop();
    rmSync(directory, { recursive: true });
  });

  const ports = () => ({ catalog, blobs, bus, log: quiet, scratch: () => openScratch(join(directory, 'spool')) });
  const load = (archive: Buffer | Readable, request = {}) =>
    importArchive(readTar(Buffer.isBuffer(archive) ? Readable.from([archive]) : archive), request, ports());
  async function listBlobs(): Promise<string[]> {
    const found: string[] = [];
    for await (const { digest } of blobs.list()) found.push(digest);
    return found.sort();
  }
  async function held(name: string, image: MadeImage): Promise<boolean[]> {
    const { repository } = parseReference(name);
    const all = [image.config, ...image.layers].map(async ({ digest }) => {
      const found = await catalog.findBlob(repository, digest as Digest);
      return found !== undefined && (await blobs.stat(digest as Digest))?.size === found.size;
    });
    return Promise.all(all);
  }
  const tagOf = async (name: string) => {
    const { repository, tag } = parseReference(name);
    return (await catalog.findTag(repository, tag!))?.digest;
  };

  describe('formats', () => {
    it.each([
      ['plain', (bytes: Buffer) => bytes],
      ['gzip', (bytes: Buffer) => gzipSync(bytes)],
    ])('an OCI layout, %s, of two platforms under two names', async (what, pressed) => {
      const index = makeIndex({ platforms: ['linux/amd64', 'linux/arm64'], seed: 500 + what.length });
      const names = [`ghcr.io/oci/${what}:1`, `ghcr.io/oci/${what}:2`];
      const archive = layout(
        index,
        index.images,
        names.map((name) => ({ 'io.containerd.image.name': name, 'org.opencontainers.image.ref.name': '1' })),
      );
      const report = await load(pressed(await tarOf(archive)));
      expect(report.images).toMatchObject(
        names.map((reference) => ({ reference, digest: index.digest, outcome: 'loaded', manifests: 3, blobs: 4 })),
      );
      for (const name of names) {
        expect(await tagOf(name)).toBe(index.digest);
        for (const image of index.images) expect(await held(name, image)).toEqual([true, true]);
      }
      expect(
        await catalog.findManifest(parseReference(names[0]!).repository, index.images[1]!.digest as Digest),
      ).toBeDefined();
    });

    it('only the chosen platform', async () => {
      const index = makeIndex({ platforms: ['linux/amd64', 'linux/arm64'], seed: 600 });
      const archive = layout(index, index.images, [{ 'io.containerd.image.name': 'ghcr.io/oci/one:1' }]);
      const { images } = await load(await tarOf(archive), { platforms: [{ os: 'linux', architecture: 'arm64' }] });
      expect(images).toMatchObject([{ outcome: 'loaded', manifests: 2, blobs: 2 }]);
      expect(await held('ghcr.io/oci/one:1', index.images[0]!)).toEqual([false, false]);
      expect(await held('ghcr.io/oci/one:1', index.images[1]!)).toEqual([true, true]);
      for (const { digest } of index.images[0]!.layers) expect(await blobs.stat(digest as Digest)).toBeUndefined();
    });

    it('a layout without a full name gets one, or fails by itself', async () => {
      const image = fresh();
      const archive = await tarOf(layout(image, [image], [{ 'org.opencontainers.image.ref.name': 'v1' }]));
      const before = await listBlobs();
      expect((await load(archive)).images).toMatchObject([
        { reference: 'v1', outcome: 'failed', problem: expect.stringContaining('--resolve-ref') },
      ]);
      expect(await listBlobs()).toEqual(before);
      expect((await load(archive, { name: 'quay.io/a/named:v1' })).images).toMatchObject([{ outcome: 'loaded' }]);
      expect(await tagOf('quay.io/a/named:v1')).toBe(image.digest);
    });

    it('docker save with links between layers, and several names', async () => {
      const layers = [randomBytes(9000), randomBytes(70_000)];
      const config = JSON.stringify({
        os: 'linux',
        rootfs: { type: 'layers', diff_ids: layers.map((l) => `sha256:${sha(l)}`) },
      });
      const members: Member[] = [
        ['a/layer.tar', layers[0]!],
        ['a/VERSION', '1.0'],
        ['b/layer.tar', { link: '../c.tar' }],
        ['c.tar', layers[1]!],
        [`${sha(config)}.json`, config],
        ['repositories', '{}'],
        [
          'manifest.json',
          JSON.stringify([
            {
              Config: `${sha(config)}.json`,
              RepoTags: ['saved:1', 'saved:latest'],
              Layers: ['a/layer.tar', 'b/layer.tar'],
            },
          ]),
        ],
      ];
      const { images } = await load(await tarOf(members));
      expect(images.map(({ reference, outcome, blobs: count }) => [reference, outcome, count])).toEqual([
        ['docker.io/library/saved:1', 'loaded', 3],
        ['docker.io/library/saved:latest', 'loaded', 3],
      ]);
      const found = await catalog.findTag(parseReference('saved:1').repository, '1');
      const manifest = JSON.parse(found!.manifest.bytes.toString());
      expect(
        manifest.layers.map(({ digest, size, mediaType }: Record<string, unknown>) => [digest, size, mediaType]),
      ).toEqual(
        layers.map((layer) => [`sha256:${sha(layer)}`, layer.length, 'application/vnd.oci.image.layer.v1.tar']),
      );
      expect((await load(await tarOf(members))).images[0]!.digest).toBe(images[0]!.digest);
    });

    it("the Go server's image directory, where an index without any image fails by itself", async () => {
      const index = makeIndex({ platforms: ['linux/amd64', 'linux/arm64'], seed: 700 });
      const other = makeIndex({ platforms: ['linux/amd64', 'linux/arm64'], seed: 701 });
      const holder = (name: string, { digest, bytes }: { digest: string; bytes: Buffer }) =>
        JSON.stringify({ type: 3, digest, imageUrl: name, bytes: bytes.toString('base64') });
      const image = index.images[0]!;
      const { images } = await load(
        await tarOf([
          [`fat/${index.digest.slice(7)}`, holder('quay.io/go/dir:v1', index)],
          [`fat/${other.digest.slice(7)}`, holder('quay.io/go/empty:v1', other)],
          [`img/${image.digest.slice(7)}`, holder(`quay.io/go/dir@${image.digest}`, image)],
          ...[image.config, ...image.layers].map((blob): Member => [`blobs/${blob.digest.slice(7)}`, bytesOf(blob)]),
        ]),
      );
      expect(Object.fromEntries(images.map(({ reference, outcome }) => [reference, outcome]))).toEqual({
        'quay.io/go/dir:v1': 'loaded',
        'quay.io/go/empty:v1': 'failed',
        [`quay.io/go/dir@${image.digest}`]: 'loaded',
      });
      expect(await held('quay.io/go/dir:v1', image)).toEqual([true, true]);
    });
  });

  describe('bad archives leave nothing', () => {
    const image = () => {
      const made = fresh([5000, 20_000]);
      return { made, members: layout(made, [made], [{ 'io.containerd.image.name': 'ghcr.io/bad/image:1' }]) };
    };
    const without = (members: Member[], name: string) => members.filter(([path]) => path !== name);
    const flipped = (bytes: Buffer) => {
      const copy = Buffer.from(bytes);
      copy[copy.length - 1]! ^= 1;
      return copy;
    };

    const cases: Record<string, [message: RegExp, make: () => Promise<Buffer | Readable>]> = {
      'a path that leaves the archive': [
        /member with the path/,
        () => tarOf([...image().members, ['../../etc/passwd', 'x']]),
      ],
      'an absolute path': [/member with the path/, () => tarOf([...image().members, ['/etc/passwd', 'x']])],
      'a link that leaves the archive': [
        /outside the archive/,
        () => tarOf([...image().members, ['a', { link: '../../etc/passwd' }]]),
      ],
      'an absolute link': [/outside the archive/, () => tarOf([...image().members, ['a', { link: '/etc/passwd' }]])],
      'a hard link to nothing': [
        /not in the archive/,
        () => tarOf([...image().members, ['a', { link: 'b', hard: true }]]),
      ],
      'links in a circle': [
        /points to another link/,
        () => tarOf([...image().members, ['a', { link: 'b' }], ['b', { link: 'a' }]]),
      ],
      'a member twice': [/twice/, () => tarOf([...image().members, ['index.json', '{}']])],
      'a layer with other bytes': [
        /bytes of sha256:.* are (those of|others)/,
        () => {
          const { made, members } = image();
          const path = blobPath(made.layers[1]!.digest);
          return tarOf(members.map((member) => (member[0] === path ? [path, flipped(member[1] as Buffer)] : member)));
        },
      ],
      'a manifest with other bytes': [
        /are those of/,
        () => {
          const { made, members } = image();
          const path = blobPath(made.digest);
          return tarOf(members.map((member) => (member[0] === path ? [path, `${made.bytes} `] : member)));
        },
      ],
      'a missing layer': [
        /neither in the archive nor here/,
        () => {
          const { made, members } = image();
          return tarOf(without(members, blobPath(made.layers[0]!.digest)));
        },
      ],
      'a missing manifest': [
        /neither in the archive nor here/,
        () => {
          const { made, members } = image();
          return tarOf(without(members, blobPath(made.digest)));
        },
      ],
      'no index': [/neither index.json/, () => tarOf(without(image().members, 'index.json'))],
      'an index that is no JSON': [
        /index.json is no JSON/,
        () => tarOf([...without(image().members, 'index.json'), ['index.json', '{']]),
      ],
      'a truncated tar': [/cut off/, async () => (await tarOf(image().members)).subarray(0, 12_345)],
      'a truncated gzip': [/cut off/, async () => gzipSync(await tarOf(image().members)).subarray(0, -500)],
      'a damaged gzip': [
        // A digest may see it before gzip's checksum does.
        /damaged|cut off|are (those of|others)/,
        async () => {
          const bytes = gzipSync(await tarOf(image().members));
          return Buffer.concat([bytes.subarray(0, 2000), randomBytes(500), bytes.subarray(2500)]);
        },
      ],
      'a sender that breaks off': [
        /cut off/,
        async () => {
          const stream = new PassThrough();
          stream.write((await tarOf(image().members)).subarray(0, 12_345));
          setImmediate(() => stream.destroy(new Error('aborted')));
          return stream;
        },
      ],
      'a decompression bomb': [
        /more than 200 times/,
        async () => {
          const zeros = gzipSync(Buffer.alloc(100 * 2 ** 20));
          const head = (await tarOf([[blobPath(`sha256:${'0'.repeat(64)}`), Buffer.alloc(0)]])).subarray(0, 512);
          // A header that promises more than there is: the bomb must be seen before its end.
          head.write(`${(8 ** 10).toString(8).padStart(11, '0')}\0`, 124);
          head.fill(0x20, 148, 156);
          const sum = head.reduce((total, byte) => total + byte, 0);
          head.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
          return Buffer.concat([gzipSync(head), zeros]);
        },
      ],
      'plain text': [/no tar archive/, async () => Buffer.from('alpine:latest\n'.repeat(100))],
      nothing: [/no tar archive/, async () => Buffer.alloc(0)],
    };

    it.each(Object.keys(cases))('%s', async (what) => {
      const [message, make] = cases[what]!;
      const before = await listBlobs();
      await expect(load(await make())).rejects.toMatchObject({
        name: 'Failure',
        status: 400,
        message: expect.stringMatching(message),
      });
      expect(await listBlobs()).toEqual(before);
      expect(await tagOf('ghcr.io/bad/image:1')).toBeUndefined();
      expect(readdirSync(join(directory, 'spool'))).toEqual([]);
    });

    it('docker save whose layer is not what its config says', async () => {
      const config = JSON.stringify({ rootfs: { diff_ids: [`sha256:${'0'.repeat(64)}`] } });
      const archive = tarOf([
        ['l.tar', randomBytes(2000)],
        ['c.json', config],
        ['manifest.json', JSON.stringify([{ Config: 'c.json', RepoTags: ['bad:1'], Layers: ['l.tar'] }])],
      ]);
      await expect(load(await archive)).rejects.toThrow(/its config says/);
    });

    it('one name for two images', async () => {
      const [a, b] = [fresh(), fresh()];
      const members = new Map([...layout(a, [a], [{}]), ...layout(b, [b], [{}])]);
      members.set(
        'index.json',
        JSON.stringify({ manifests: [a, b].map(({ digest, size, mediaType }) => ({ digest, size, mediaType })) }),
      );
      await expect(load(await tarOf([...members]), { name: 'a/b:1' })).rejects.toThrow(/one name can be given/);
    });
  });

  describe('export', () => {
    const exported = async (images: string[], without: Digest[] = []) => {
      const plan = await planExport({ images, without: new Set(without) }, { catalog, blobs });
      return collect(tarStream(exportMembers(plan, blobs)));
    };
    const membersOf = async (archive: Buffer) => {
      const found = new Map<string, Buffer>();
      for await (const { path, body } of readTar(Readable.from([archive]))) found.set(path, await collect(body));
      return found;
    };
    const holdsOf = async (archive: Buffer) =>
      [...(await membersOf(archive))].flatMap(([path, bytes]) => digestsOfMember(path, () => bytes));

    it('gives equal bytes for equal images, in any order, and what it was given', async () => {
      const [a, b] = [fresh([3000, 400_000]), fresh()];
      for (const [image, name] of [
        [a, 'ghcr.io/out/a:1'],
        [b, 'ghcr.io/out/b:1'],
      ] as const)
        await load(await tarOf(layout(image, [image], [{ 'io.containerd.image.name': name }])));
      const archive = await exported(['ghcr.io/out/b:1', 'ghcr.io/out/a:1', `ghcr.io/out/a@${a.digest}`]);
      expect(
        (await exported([`ghcr.io/out/a@${a.digest}`, 'ghcr.io/out/a:1', 'ghcr.io/out/b:1'])).equals(archive),
      ).toBe(true);
      const members = await membersOf(archive);
      for (const image of [a, b]) {
        expect(members.get(blobPath(image.digest))?.equals(image.bytes)).toBe(true);
        for (const blob of [image.config, ...image.layers])
          expect(sha(members.get(blobPath(blob.digest))!)).toBe(blob.digest.slice(7));
      }
      const names = JSON.parse(members.get('index.json')!.toString()).manifests.map(
        ({ annotations }: { annotations: Record<string, string> }) => annotations['io.containerd.image.name'],
      );
      expect(names).toEqual(['ghcr.io/out/a:1', `ghcr.io/out/a@${a.digest}`, 'ghcr.io/out/b:1']);
    });

    it('leaves out what the other side has, also two bundles ago', async () => {
      const images = [fresh([1000]), fresh([2000]), fresh([3000])];
      const names = images.map((_, i) => `ghcr.io/chain/i:${i}`);
      for (const [i, image] of images.entries())
        await load(await tarOf(layout(image, [image], [{ 'io.containerd.image.name': names[i]! }])));
      const first = await exported([names[0]!]);
      const second = await exported([names[0]!, names[1]!], await holdsOf(first));
      const third = await exported(names, await holdsOf(second));
      const paths = await Promise.all([first, second, third].map(async (one) => [...(await membersOf(one)).keys()]));
      const blobsIn = paths.map((list) => list.filter((path) => path.startsWith('blobs/')));
      // Config, layer and manifest; then the manifests of the earlier ones too.
      expect(blobsIn.map(({ length }) => length)).toEqual([3, 4, 5]);
      expect(new Set(blobsIn.flat()).size).toBe(9);
      expect((await load(third)).images.map(({ outcome }) => outcome)).toEqual(['loaded', 'loaded', 'loaded']);
    });

    it('refuses what is not cached, or not whole', async () => {
      await expect(exported(['ghcr.io/out/none:1'])).rejects.toThrow('ghcr.io/out/none:1 is not in the cache');
      const image = fresh();
      await load(await tarOf(layout(image, [image], [{ 'io.containerd.image.name': 'ghcr.io/out/part:1' }])));
      await blobs.remove(image.layers[0]!.digest as Digest);
      await expect(exported(['ghcr.io/out/part:1'])).rejects.toThrow('as a whole');
    });
  });
});
