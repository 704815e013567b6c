import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough, type Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { type Digest, parseReference } from '#oci';
import { makeIndex } from '../../../test/support/upstream/images.js';
import { bytesOf } from '../../../test/support/upstream/index.js';
import { blobPath, fresh, layout, type Member, Site, sha, tarOf } from './archives.contract.js';

jest.setTimeout(120_000);

let site: Site;
beforeAll(async () => {
  site = await Site.start();
});
afterAll(() => site?.stop());

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
    const report = await site.load(pressed(await tarOf(archive)));
    expect(report.images).toMatchObject(
      names.map((reference) => ({ reference, digest: index.digest, outcome: 'loaded', manifests: 3, blobs: 4 })),
    );
    for (const name of names) {
      expect(await site.tagOf(name)).toBe(index.digest);
      for (const image of index.images) expect(await site.held(name, image)).toEqual([true, true]);
    }
    expect(
      await site.catalog.findManifest(parseReference(names[0]!).repository, index.images[1]!.digest as Digest),
    ).toBeDefined();
  });

  it('only the chosen platform', async () => {
    const index = makeIndex({ platforms: ['linux/amd64', 'linux/arm64'], seed: 600 });
    const archive = layout(index, index.images, [{ 'io.containerd.image.name': 'ghcr.io/oci/one:1' }]);
    const { images } = await site.load(await tarOf(archive), { platforms: [{ os: 'linux', architecture: 'arm64' }] });
    expect(images).toMatchObject([{ outcome: 'loaded', manifests: 2, blobs: 2 }]);
    expect(await site.held('ghcr.io/oci/one:1', index.images[0]!)).toEqual([false, false]);
    expect(await site.held('ghcr.io/oci/one:1', index.images[1]!)).toEqual([true, true]);
    for (const { digest } of index.images[0]!.layers) expect(await site.blobs.stat(digest as Digest)).toBeUndefined();
  });

  it('a layout without a full name gets one, or fails by itself', async () => {
    const image = fresh();
    const archive = await tarOf(layout(image, [image], [{ 'org.opencontainers.image.ref.name': 'v1' }]));
    const before = await site.listBlobs();
    expect((await site.load(archive)).images).toMatchObject([
      { reference: 'v1', outcome: 'failed', problem: expect.stringContaining('--resolve-ref') },
    ]);
    expect(await site.listBlobs()).toEqual(before);
    expect((await site.load(archive, { name: 'quay.io/a/named:v1' })).images).toMatchObject([{ outcome: 'loaded' }]);
    expect(await site.tagOf('quay.io/a/named:v1')).toBe(image.digest);
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
    const { images } = await site.load(await tarOf(members));
    expect(images.map(({ reference, outcome, blobs: count }) => [reference, outcome, count])).toEqual([
      ['docker.io/library/saved:1', 'loaded', 3],
      ['docker.io/library/saved:latest', 'loaded', 3],
    ]);
    const found = await site.catalog.findTag(parseReference('saved:1').repository, '1');
    const manifest = JSON.parse(found!.manifest.bytes.toString());
    expect(
      manifest.layers.map(({ digest, size, mediaType }: Record<string, unknown>) => [digest, size, mediaType]),
    ).toEqual(layers.map((layer) => [`sha256:${sha(layer)}`, layer.length, 'application/vnd.oci.image.layer.v1.tar']));
    expect((await site.load(await tarOf(members))).images[0]!.digest).toBe(images[0]!.digest);
  });

  it("the Go server's image site.directory, where an index without any image fails by itself", async () => {
    const index = makeIndex({ platforms: ['linux/amd64', 'linux/arm64'], seed: 700 });
    const other = makeIndex({ platforms: ['linux/amd64', 'linux/arm64'], seed: 701 });
    const holder = (name: string, { digest, bytes }: { digest: string; bytes: Buffer }) =>
      JSON.stringify({ type: 3, digest, imageUrl: name, bytes: bytes.toString('base64') });
    const image = index.images[0]!;
    const { images } = await site.load(
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
    expect(await site.held('quay.io/go/dir:v1', image)).toEqual([true, true]);
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
    const before = await site.listBlobs();
    await expect(site.load(await make())).rejects.toMatchObject({
      name: 'Failure',
      status: 400,
      message: expect.stringMatching(message),
    });
    expect(await site.listBlobs()).toEqual(before);
    expect(await site.tagOf('ghcr.io/bad/image:1')).toBeUndefined();
    expect(readdirSync(join(site.directory, 'spool'))).toEqual([]);
  });

  it('docker save whose layer is not what its config says', async () => {
    const config = JSON.stringify({ rootfs: { diff_ids: [`sha256:${'0'.repeat(64)}`] } });
    const archive = tarOf([
      ['l.tar', randomBytes(2000)],
      ['c.json', config],
      ['manifest.json', JSON.stringify([{ Config: 'c.json', RepoTags: ['bad:1'], Layers: ['l.tar'] }])],
    ]);
    await expect(site.load(await archive)).rejects.toThrow(/its config says/);
  });

  it('one name for two images', async () => {
    const [a, b] = [fresh(), fresh()];
    const members = new Map([...layout(a, [a], [{}]), ...layout(b, [b], [{}])]);
    members.set(
      'index.json',
      JSON.stringify({ manifests: [a, b].map(({ digest, size, mediaType }) => ({ digest, size, mediaType })) }),
    );
    await expect(site.load(await tarOf([...members]), { name: 'a/b:1' })).rejects.toThrow(/one name can be given/);
  });
});
