import { randomUUID } from 'node:crypto';
import type { Descriptor } from '#oci';
import { digestOf, someManifest, someRepository } from './catalog.contract.js';
import type { Catalog, RepositoryNames } from './port.js';

/** What every catalog does with lists. */
export function listsContract(open: () => Catalog): void {
  describe('lists of tags', () => {
    it('are what was stored last, per repository', async () => {
      const catalog = open();
      const [ours, theirs] = [someRepository(), someRepository()];
      expect(await catalog.findTags(ours)).toEqual({ held: [] });
      await catalog.storeTagList(ours, ['b', 'a']);
      await catalog.storeTagList(ours, ['a', 'c']);
      const { listed, held } = await catalog.findTags(ours);
      expect([listed?.entries, held]).toEqual([['a', 'c'], []]);
      expect(listed?.age).toBeGreaterThanOrEqual(0);
      expect(await catalog.findTags(theirs)).toEqual({ held: [] });
      await catalog.storeTagList(ours, []);
      expect((await catalog.findTags(ours)).listed?.entries).toEqual([]);
    });

    it('hold all tags before the first list, and those confirmed after it', async () => {
      const catalog = open();
      const repository = someRepository();
      const manifest = someManifest();
      await catalog.storeManifest(repository, manifest, 'old');
      await catalog.storeManifest(repository, manifest, 'older');
      expect((await catalog.findTags(repository)).held.toSorted()).toEqual(['old', 'older']);
      await catalog.storeTagList(repository, ['listed']);
      await catalog.storeManifest(repository, manifest, 'new');
      await catalog.confirmTag(repository, 'older', manifest.digest);
      expect((await catalog.findTags(repository)).held.toSorted()).toEqual(['new', 'older']);
    });

    it('can be told by 20 at once', async () => {
      const catalog = open();
      const repository = someRepository();
      await Promise.all(Array.from({ length: 20 }, (_, n) => catalog.storeTagList(repository, [`v${n}`])));
      expect((await catalog.findTags(repository)).listed?.entries).toHaveLength(1);
    });
  });

  describe('lists of referrers', () => {
    it('keep descriptors verbatim, per repository and subject', async () => {
      const catalog = open();
      const [ours, theirs] = [someRepository(), someRepository()];
      const subject = digestOf(randomUUID());
      const descriptor = { mediaType: 'a/b', digest: subject, size: 1, annotations: { a: '\0\ud800' }, data: 'e30=' };
      await catalog.storeReferrers(ours, subject, [descriptor]);
      expect((await catalog.findReferrers(ours, subject)).listed?.entries).toEqual([descriptor]);
      expect(await catalog.findReferrers(theirs, subject)).toEqual({ held: [] });
      expect(await catalog.findReferrers(ours, digestOf('another'))).toEqual({ held: [] });
      await catalog.storeReferrers(ours, subject, []);
      expect((await catalog.findReferrers(ours, subject)).listed?.entries).toEqual([]);
    });

    it('hold what has the subject and was stored after the list', async () => {
      const catalog = open();
      const [ours, theirs] = [someRepository(), someRepository()];
      const subject = digestOf(randomUUID());
      const [early, late] = [0, 1].map(() =>
        someManifest([], { subject, artifactType: 'application/x', annotations: { a: 'b' } }),
      ) as [ReturnType<typeof someManifest>, ReturnType<typeof someManifest>];
      const descriptor = ({ digest, mediaType, bytes }: typeof early): Descriptor => ({
        mediaType,
        digest,
        size: bytes.length,
        artifactType: 'application/x',
        annotations: { a: 'b' },
      });
      await catalog.storeManifest(ours, early);
      expect((await catalog.findReferrers(ours, subject)).held).toEqual([descriptor(early)]);
      expect((await catalog.findReferrers(theirs, subject)).held).toEqual([]);
      await catalog.storeReferrers(ours, subject, []);
      await catalog.storeManifest(ours, late);
      expect((await catalog.findReferrers(ours, subject)).held).toEqual([descriptor(late)]);
    });
  });

  describe('repositories', () => {
    it('are named as clients can ask for them, sorted and paged', async () => {
      const catalog = open();
      const plain = `${randomUUID()}.example`;
      const other = `${randomUUID()}.example`;
      const paths = ['library/a', 'a-b/c', 'a/c', 'looks.like/host', 'localhost/x', 'mine/x', 'localhost', 'no.host'];
      for (const path of paths) await catalog.storeManifest({ upstream: plain, path }, someManifest());
      await catalog.storeManifest({ upstream: other, path: 'z' }, someManifest());
      // Asked for, but nothing of it is held.
      await catalog.storeTagList({ upstream: plain, path: 'listed/only' }, ['v1']);
      const walk = async (names: RepositoryNames, n: number) => {
        const found: string[] = [];
        let last: string | undefined;
        do {
          const page = await catalog.listRepositories(names, { n, ...(last === undefined ? {} : { last }) });
          expect(page.entries.length).toBeLessThanOrEqual(n);
          found.push(...page.entries);
          last = page.next;
        } while (last !== undefined);
        return found;
      };
      expect(await walk({ only: plain }, 3)).toEqual(paths.toSorted());
      const named = await walk({ plain: { upstream: plain, hosts: ['mine'] } }, 1000);
      expect(named).toEqual(named.toSorted());
      const hosted = ['looks.like/host', 'localhost/x', 'mine/x'];
      expect(named).toEqual(expect.arrayContaining(hosted.map((path) => `${plain}/${path}`)));
      expect(named).toEqual(expect.arrayContaining(paths.filter((path) => !hosted.includes(path))));
      expect(named).toContain(`${other}/z`);
      for (const path of hosted) expect(named).not.toContain(path);
      const all = await walk({}, 1000);
      expect(all).toEqual(expect.arrayContaining(paths.map((path) => `${plain}/${path}`)));
      expect(await catalog.listRepositories({ only: plain }, { n: 0 })).toEqual({ entries: [] });
      const visible = [`^${plain.replaceAll('.', '\\.')}/(?:a-b|mine)/[^/]*$`, `^${other.replaceAll('.', '\\.')}/.*$`];
      expect(await walk({ only: plain, visible }, 1)).toEqual(['a-b/c', 'mine/x']);
      expect((await walk({ visible }, 2)).toSorted()).toEqual(
        [`${plain}/a-b/c`, `${plain}/mine/x`, `${other}/z`].toSorted(),
      );
      expect(await walk({ visible: [] }, 1000)).toEqual([]);
    });
  });
}
