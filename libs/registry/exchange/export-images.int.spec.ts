import { Readable } from 'node:stream';
import { readTar, tarStream } from '#archive';
import type { Digest } from '#oci';
import { digestsOfMember, exportMembers, planExport } from '../index.js';
import { blobPath, collect, fresh, layout, Site, sha, tarOf } from './archives.contract.js';

jest.setTimeout(120_000);

let site: Site;
beforeAll(async () => {
  site = await Site.start();
});
afterAll(() => site?.stop());

describe('export', () => {
  const exported = async (images: string[], without: Digest[] = []) => {
    const plan = await planExport({ images, without: new Set(without) }, site);
    return collect(tarStream(exportMembers(plan, site.blobs)));
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
      await site.load(await tarOf(layout(image, [image], [{ 'io.containerd.image.name': name }])));
    const archive = await exported(['ghcr.io/out/b:1', 'ghcr.io/out/a:1', `ghcr.io/out/a@${a.digest}`]);
    expect((await exported([`ghcr.io/out/a@${a.digest}`, 'ghcr.io/out/a:1', 'ghcr.io/out/b:1'])).equals(archive)).toBe(
      true,
    );
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
      await site.load(await tarOf(layout(image, [image], [{ 'io.containerd.image.name': names[i]! }])));
    const first = await exported([names[0]!]);
    const second = await exported([names[0]!, names[1]!], await holdsOf(first));
    const third = await exported(names, await holdsOf(second));
    const paths = await Promise.all([first, second, third].map(async (one) => [...(await membersOf(one)).keys()]));
    const blobsIn = paths.map((list) => list.filter((path) => path.startsWith('blobs/')));
    // Config, layer and manifest; then the manifests of the earlier ones too.
    expect(blobsIn.map(({ length }) => length)).toEqual([3, 4, 5]);
    expect(new Set(blobsIn.flat()).size).toBe(9);
    expect((await site.load(third)).images.map(({ outcome }) => outcome)).toEqual(['loaded', 'loaded', 'loaded']);
  });

  it('refuses what is not cached, or not whole', async () => {
    await expect(exported(['ghcr.io/out/none:1'])).rejects.toThrow('ghcr.io/out/none:1 is not in the cache');
    const image = fresh();
    await site.load(await tarOf(layout(image, [image], [{ 'io.containerd.image.name': 'ghcr.io/out/part:1' }])));
    await site.blobs.remove(image.layers[0]!.digest as Digest);
    await expect(exported(['ghcr.io/out/part:1'])).rejects.toThrow('as a whole');
  });
});
