import { Deferred } from '#async';
import { InProcessBus } from '#bus/adapters';
import type { Digest } from '#oci';
import { parseReference } from '#oci';
import { Pruner } from '../prune/pruner.js';
import { fresh, layout, quiet, Site, tarOf } from './archives.contract.js';

jest.setTimeout(120_000);

const NAME = 'ghcr.io/race/new:1';

describe('an import, and a prune of what it found here', () => {
  let site: Site;
  beforeAll(async () => {
    site = await Site.start();
  });
  afterAll(() => site?.stop());

  /** Everything of the other repository goes, and what only it held. */
  const pruned = async () => {
    const { catalog, blobs } = site;
    const protection = { servedWithin: 0, keep: [], pins: [] };
    const pruner = new Pruner(
      { catalog, blobs, bus: new InProcessBus(), log: quiet },
      { worker: 'pruner', protection },
    );
    const { id } = await pruner.plan({ patterns: ['race/old'] }, 'request');
    expect(await pruner.start(id)).toBe('started');
    await pruner.settled();
    expect(await pruner.jobs.find(id)).toMatchObject({ state: 'done', removed: { images: 1 } });
  };
  const archiveOf = (image: ReturnType<typeof fresh>, name: string) =>
    layout(image, [image], [{ 'io.containerd.image.name': name }]);

  it('a layer that was here when the archive told of it is here afterwards', async () => {
    const image = fresh([5000, 7000]);
    const archive = await tarOf(archiveOf(image, NAME));
    await site.load(await tarOf(archiveOf(image, 'ghcr.io/race/old:1')));
    // Once it was seen to be here, everything that holds it goes before the import goes on.
    const layer = image.layers[0]!.digest as Digest;
    const seen = new Deferred();
    const { blobs } = site;
    const stat = blobs.stat.bind(blobs);
    const spy = jest.spyOn(blobs, 'stat').mockImplementation(async (digest) => {
      const found = await stat(digest);
      if (digest === layer && found) seen.resolve();
      return found;
    });
    const pruning = seen.promise.then(pruned);
    const storeBlob = site.catalog.storeBlob.bind(site.catalog);
    const told = jest.spyOn(site.catalog, 'storeBlob').mockImplementation(async (...facts) => {
      await pruning;
      await storeBlob(...facts);
    });
    try {
      expect((await site.load(archive)).images).toMatchObject([{ outcome: 'loaded' }]);
    } finally {
      spy.mockRestore();
      told.mockRestore();
    }
    await pruning;
    expect(await site.held(NAME, image)).toEqual([true, true, true]);
    const { repository } = parseReference('ghcr.io/race/old:1');
    expect(await site.catalog.findManifest(repository, image.digest as Digest)).toBeUndefined();
  });

  it('a bundle whose layers only the other side should have had', async () => {
    const image = fresh([5000]);
    await site.load(await tarOf(archiveOf(image, 'ghcr.io/race/old:1')));
    const layer = image.layers[0]!.digest as Digest;
    const bundle = archiveOf(image, 'ghcr.io/race/delta:1').filter(([path]) => !path.includes(layer.slice(7)));
    const { pruning } = site.catalog;
    const hold = pruning.hold.bind(pruning);
    const spy = jest.spyOn(pruning, 'hold').mockImplementation(async (name, digest, size) => {
      if (digest === layer) await pruned();
      await hold(name, digest, size);
    });
    const before = await site.listBlobs();
    await expect(site.load(await tarOf(bundle))).rejects.toThrow(/neither in the archive nor here/);
    spy.mockRestore();
    expect(await site.tagOf('ghcr.io/race/delta:1')).toBeUndefined();
    expect((await site.listBlobs()).every((digest) => before.includes(digest))).toBe(true);
    expect((await site.catalog.knowBlob(parseReference(NAME).repository, layer)).stored).toBeUndefined();
  });

  it('leaves nothing held behind', async () => {
    const image = fresh([5000]);
    await site.load(await tarOf(archiveOf(image, 'ghcr.io/race/old:1')));
    await pruned();
    for (const { digest } of [image.config, ...image.layers])
      expect(await site.blobs.stat(digest as Digest)).toBeUndefined();
  });
});
