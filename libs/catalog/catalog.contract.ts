import { createHash, randomUUID } from 'node:crypto';
import type { Digest, Repository } from '#oci';
import type { Catalog, NewManifest } from './port.js';

export const digestOf = (content: string | Buffer): Digest =>
  `sha256:${createHash('sha256').update(content).digest('hex')}`;

/** A repository that no other test uses. */
export const someRepository = (upstream = 'registry.example'): Repository => ({
  upstream,
  path: `test/${randomUUID()}`,
});

/** A manifest of its own over `layers`. */
export function someManifest(layers: readonly Digest[] = [], more: Partial<NewManifest> = {}): NewManifest {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, layers, nonce: randomUUID() }));
  return {
    digest: digestOf(bytes),
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    bytes,
    edges: layers.map((child, index) => ({ child, kind: 'layer', size: 100 + index })),
    ...more,
  };
}

/** What every catalog does, told through the port alone. */
export function catalogContract(open: () => Catalog): void {
  describe('manifests', () => {
    it('gives back the bytes and the media type verbatim, to the repository that has shown them', async () => {
      const catalog = open();
      const [ours, theirs] = [someRepository(), someRepository()];
      const bytes = Buffer.from([0, 1, 2, 255, 0]);
      const manifest = { ...someManifest(), bytes, digest: digestOf(bytes), mediaType: 'application/x-Odd+json' };
      expect(await catalog.storeManifest(ours, manifest)).toEqual({ moved: false });
      const { digest, mediaType } = manifest;
      expect(await catalog.findManifest(ours, digest)).toEqual({ digest, mediaType, bytes });
      expect(await catalog.findManifest(theirs, digest)).toBeUndefined();
    });

    it('keeps each repository its own media type for the same bytes', async () => {
      const catalog = open();
      const [first, second] = [someRepository(), someRepository('other.example')];
      const manifest = someManifest();
      await catalog.storeManifest(first, manifest);
      await catalog.storeManifest(second, { ...manifest, mediaType: 'text/html' });
      expect((await catalog.findManifest(first, manifest.digest))?.mediaType).toBe(manifest.mediaType);
      expect((await catalog.findManifest(second, manifest.digest))?.mediaType).toBe('text/html');
    });

    it('takes 4 MiB, sha512, annotations, a subject and duplicate layers', async () => {
      const catalog = open();
      const repository = someRepository();
      const bytes = Buffer.alloc(4 << 20, randomUUID());
      const digest: Digest = `sha512:${createHash('sha512').update(bytes).digest('hex')}`;
      const layer = digestOf(randomUUID());
      const manifest = someManifest([layer, layer], {
        bytes,
        digest,
        subject: digestOf('subject'),
        artifactType: 'application/example',
        annotations: { 'a"b': 'c\\d', unicode: 'žluť' },
      });
      await catalog.storeManifest(repository, manifest, 'big');
      const found = await catalog.findTag(repository, 'big');
      expect(found?.digest).toBe(digest);
      expect(found?.manifest.bytes.equals(bytes)).toBe(true);
    });

    it('tells the size that a manifest of this repository gives', async () => {
      const catalog = open();
      const [ours, theirs] = [someRepository(), someRepository()];
      const layer = digestOf(randomUUID());
      await catalog.storeManifest(ours, someManifest([layer], { edges: [{ child: layer, kind: 'layer', size: 5e9 }] }));
      // Asked at once: each gets its own answer.
      expect(await Promise.all([ours, theirs].map((repository) => catalog.knowBlob(repository, layer)))).toEqual([
        { described: 5e9 },
        {},
      ]);
      expect(await catalog.findBlob(ours, layer)).toBeUndefined();
    });

    it('can be told the same by 50 at once, over shared layers, in any order', async () => {
      const catalog = open();
      const layers = Array.from({ length: 8 }, () => digestOf(randomUUID()));
      const shared = someManifest(layers);
      const own = Array.from({ length: 10 }, (_, n) => someManifest(n % 2 ? layers : [...layers].reverse()));
      const repositories = [someRepository(), someRepository()];
      const results = await Promise.all(
        Array.from({ length: 50 }, async (_, n) => {
          const repository = repositories[n % 2] as Repository;
          const order = n % 3 ? layers : [...layers].reverse();
          const [stored] = await Promise.all([
            catalog.storeManifest(repository, shared, 'latest'),
            catalog.storeManifest(repository, own[n % 10] as NewManifest, `v${n % 10}`),
            ...order.map((layer) => catalog.storeBlob(repository, layer, 1)),
            catalog.touch(order.map((digest) => ({ repository, digest, at: new Date() }))),
          ]);
          return stored.moved;
        }),
      );
      // One move per repository, however many told of it.
      expect(results.filter(Boolean)).toHaveLength(2);
      for (const repository of repositories) {
        expect((await catalog.findTag(repository, 'latest'))?.digest).toBe(shared.digest);
        for (const layer of layers) expect(await catalog.findBlob(repository, layer)).toEqual({ size: 1 });
      }
    });
  });

  describe('tags', () => {
    it('moves a tag, confirms it and removes it', async () => {
      const catalog = open();
      const repository = someRepository();
      const [one, two] = [someManifest(), someManifest()];
      expect(await catalog.findTag(repository, 'latest')).toBeUndefined();
      expect(await catalog.storeManifest(repository, one, 'latest')).toEqual({ moved: true });
      expect(await catalog.storeManifest(repository, one, 'latest')).toEqual({ moved: false });
      expect(await catalog.storeManifest(repository, two, 'latest')).toEqual({ moved: true });
      const found = await catalog.findTag(repository, 'latest');
      expect(found).toMatchObject({ digest: two.digest, manifest: { digest: two.digest, bytes: two.bytes } });
      expect(found?.age).toBeGreaterThanOrEqual(0);
      expect(await catalog.confirmTag(repository, 'latest', one.digest)).toBe(true);
      expect((await catalog.findTag(repository, 'latest'))?.digest).toBe(one.digest);
      expect(await catalog.confirmTag(repository, 'new', one.digest)).toBe(true);
      expect((await catalog.findTag(repository, 'new'))?.digest).toBe(one.digest);
      await catalog.removeTag(repository, 'latest');
      await catalog.removeTag(repository, 'latest');
      expect(await catalog.findTag(repository, 'latest')).toBeUndefined();
      expect(await catalog.findManifest(repository, one.digest)).toBeDefined();
    });

    it('does not confirm what the repository does not hold, and keeps case', async () => {
      const catalog = open();
      const [ours, theirs] = [someRepository(), someRepository()];
      const manifest = someManifest();
      await catalog.storeManifest(ours, manifest, 'V1');
      expect(await catalog.confirmTag(theirs, 'V1', manifest.digest)).toBe(false);
      expect(await catalog.confirmTag(ours, 'V1', digestOf('unknown'))).toBe(false);
      expect(await catalog.findTag(ours, 'v1')).toBeUndefined();
      expect(await catalog.findTag(theirs, 'V1')).toBeUndefined();
    });
  });

  describe('blobs', () => {
    it('shares the bytes and not the permission', async () => {
      const catalog = open();
      const [ours, theirs] = [someRepository(), someRepository()];
      const digest = digestOf(randomUUID());
      expect(await catalog.knowBlob(ours, digest)).toEqual({});
      await catalog.storeBlob(ours, digest, 7e9);
      await catalog.storeBlob(ours, digest, 7e9);
      expect(await catalog.findBlob(ours, digest)).toEqual({ size: 7e9 });
      expect(await catalog.findBlob(theirs, digest)).toBeUndefined();
      expect(await catalog.knowBlob(ours, digest)).toEqual({ held: 7e9, stored: 7e9 });
      expect(await catalog.knowBlob(theirs, digest)).toEqual({ stored: 7e9 });
      await catalog.storeBlob(theirs, digest, 7e9);
      expect(await catalog.findBlob(theirs, digest)).toEqual({ size: 7e9 });
    });

    it('forgets for every repository', async () => {
      const catalog = open();
      const [ours, theirs] = [someRepository(), someRepository()];
      const digest = digestOf(randomUUID());
      await Promise.all([catalog.storeBlob(ours, digest, 0), catalog.storeBlob(theirs, digest, 0)]);
      await catalog.forgetBlob(digest);
      for (const repository of [ours, theirs]) expect(await catalog.findBlob(repository, digest)).toBeUndefined();
      expect(await catalog.knowBlob(ours, digest)).toEqual({});
      await catalog.storeBlob(ours, digest, 0);
      expect(await catalog.findBlob(ours, digest)).toEqual({ size: 0 });
    });

    it('fails the one call with bad values and none beside it', async () => {
      const catalog = open();
      const repository = someRepository();
      const good = Array.from({ length: 20 }, () => digestOf(randomUUID()));
      const bad = digestOf(randomUUID());
      const results = await Promise.allSettled([
        ...good.slice(10).map((digest) => catalog.storeBlob(repository, digest, 1)),
        catalog.storeBlob(repository, bad, -1),
        ...good.slice(0, 10).map((digest) => catalog.storeBlob(repository, digest, 1)),
      ]);
      expect(results.filter((result) => result.status === 'rejected')).toHaveLength(1);
      expect(results[10]?.status).toBe('rejected');
      for (const digest of good) expect(await catalog.findBlob(repository, digest)).toEqual({ size: 1 });
      expect(await catalog.findBlob(repository, bad)).toBeUndefined();
    });
  });

  it('counts what is there', async () => {
    const catalog = open();
    const before = await catalog.counts();
    const manifest = someManifest();
    await catalog.storeManifest(someRepository(), manifest, 'a');
    await catalog.storeBlob(someRepository(), digestOf(randomUUID()), 30);
    expect(await catalog.counts()).toEqual({
      repositories: before.repositories + 1,
      manifests: before.manifests + 1,
      manifestBytes: before.manifestBytes + manifest.bytes.length,
      blobs: before.blobs + 1,
      blobBytes: before.blobBytes + 30,
      tags: before.tags + 1,
    });
    await catalog.ping();
  });

  it('takes access times of what is held and of what is not', async () => {
    const catalog = open();
    const repository = someRepository();
    const digest = digestOf(randomUUID());
    await catalog.touch([]);
    await catalog.touch([{ repository, digest, at: new Date() }]);
    expect(await catalog.knowBlob(repository, digest)).toEqual({});
  });
}
