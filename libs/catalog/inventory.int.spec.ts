import { createHash } from 'node:crypto';
import { type PostgresService, startPostgres } from '../../test/support/services/index.js';
import { connectCatalog, migrate } from './adapters.js';
import type {
  BlobSort,
  Catalog,
  ContentFilter,
  Edge,
  ImageSort,
  Listed,
  ManifestSort,
  Page,
  TagSort,
} from './index.js';

jest.setTimeout(120_000);

const digest = (text: string) => `sha256:${createHash('sha256').update(text).digest('hex')}` as const;
const manifest = (name: string, edges: readonly Edge[] = []) => ({
  digest: digest(name),
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  bytes: Buffer.from(name.padEnd(10)),
  edges,
});
const layer = (name: string, size: number): Edge => ({ child: digest(name), kind: 'layer', size });
const repo = (path: string, upstream = 'docker.io') => ({ upstream, path });

describe('the inventory', () => {
  let postgres: PostgresService;
  let catalog: Catalog;
  beforeAll(async () => {
    postgres = await startPostgres({ version: 17 });
    const url = await postgres.createDatabase('inventory');
    await migrate({ url });
    catalog = await connectCatalog({ url });

    const child = manifest('amd64', [layer('base', 1000), layer('app', 500)]);
    const index = manifest('index', [
      { child: child.digest, kind: 'manifest', size: 10, platform: 'linux/amd64' },
      { child: digest('arm64'), kind: 'manifest', size: 10, platform: 'linux/arm64' },
    ]);
    await catalog.storeManifest(repo('library/alpine'), index, 'latest');
    await catalog.storeManifest(repo('library/alpine'), index, '3.20');
    await catalog.storeManifest(repo('library/alpine'), child);
    await catalog.storeManifest(repo('team/app', 'quay.io'), manifest('app1', [layer('base', 1000)]), 'v1');
    await catalog.storeManifest(repo('team/app', 'quay.io'), manifest('app2', [layer('base', 1000)]), 'v1');
    for (const name of ['base', 'app']) await catalog.storeBlob(repo('library/alpine'), digest(name), name.length);
    await catalog.storeBlob(repo('team/app', 'quay.io'), digest('base'), 4);
  });
  afterAll(async () => {
    await catalog?.close();
    await postgres?.stop();
  });

  const page = <Sort>(sort: Sort, more: Partial<Page<Sort>> = {}): Page<Sort> => ({
    sort,
    descending: false,
    limit: 100,
    ...more,
  });
  const names = async (filter: ContentFilter) =>
    (await catalog.inventory.images(filter, page('reference'))).items.map(
      ({ repository, tag, digest: d }) => `${repository.upstream}/${repository.path}${tag ? `:${tag}` : `@${d}`}`,
    );

  const alpine = ['docker.io/library/alpine:3.20', 'docker.io/library/alpine:latest'];
  const untagged = `quay.io/team/app@${digest('app1')}`;

  it('lists tags and what only its digest names, not the children of a held index', async () => {
    expect(await names({})).toEqual([...alpine, untagged, 'quay.io/team/app:v1']);
    const [first] = (await catalog.inventory.images({}, page('reference'))).items;
    expect(first).toMatchObject({ digest: digest('index'), platforms: ['linux/amd64'], size: 10 + 10 + 1500 });
  });

  it('filters', async () => {
    expect(await names({ upstream: 'quay.io' })).toEqual([untagged, 'quay.io/team/app:v1']);
    expect(await names({ patterns: ['alp.ne:3', ':v\\d$'] })).toEqual([alpine[0], 'quay.io/team/app:v1']);
    expect(await names({ platform: 'linux/amd64' })).toEqual(alpine);
    expect(await names({ platform: 'linux/arm64' })).toEqual([]);
    expect(await names({ minSize: 1500 })).toEqual(alpine);
    expect(await names({ maxSize: 1499, upstream: 'docker.io' })).toEqual([]);
    expect(await names({ accessedAfter: new Date(Date.now() + 60_000) })).toEqual([]);
    expect(await names({ storedBefore: new Date(Date.now() + 60_000), upstream: 'docker.io' })).toEqual(alpine);
    await expect(names({ patterns: ['('] })).rejects.toThrow(/parenthes/);
  });

  it('gives the same rows in pages of any size, in every order and direction', async () => {
    async function walk<Sort extends string, Item>(
      ask: (page: Page<Sort>) => Promise<Listed<Item>>,
      sort: Sort,
      descending: boolean,
      limit: number,
    ): Promise<string[]> {
      const all: string[] = [];
      let after: readonly string[] | undefined;
      do {
        const { items, next } = await ask(page(sort, { descending, limit, ...(after ? { after } : {}) }));
        expect(items.length).toBeLessThanOrEqual(limit);
        all.push(...items.map((item) => JSON.stringify(item)));
        after = next;
      } while (after);
      return all;
    }
    async function check<Sort extends string, Item>(
      ask: (page: Page<Sort>) => Promise<Listed<Item>>,
      sorts: Sort[],
      count: number,
    ) {
      for (const sort of sorts) {
        const whole = await walk(ask, sort, false, 100);
        expect(new Set(whole).size).toBe(count);
        expect(await walk(ask, sort, false, 1)).toEqual(whole);
        expect(await walk(ask, sort, true, 2)).toEqual([...whole].reverse());
      }
    }
    const { inventory } = catalog;
    await check<ImageSort, unknown>((p) => inventory.images({}, p), ['reference', 'size', 'storedAt', 'lastAccess'], 4);
    await check<ManifestSort, unknown>(
      (p) => inventory.manifests({}, p),
      ['repository', 'size', 'storedAt', 'lastAccess'],
      4,
    );
    await check<TagSort, unknown>((p) => inventory.tags({}, p), ['reference', 'movedAt', 'checkedAt'], 3);
    await check<BlobSort, unknown>((p) => inventory.blobs({}, p), ['digest', 'size', 'storedAt', 'lastAccess'], 2);
  });

  it('shows one image in full', async () => {
    const image = await catalog.inventory.image(repo('library/alpine'), 'latest');
    expect(image?.tree.children.map(({ platform, held }) => [platform, held])).toEqual([
      ['linux/amd64', true],
      ['linux/arm64', false],
    ]);
    expect(image?.tree.children[0]?.contents).toEqual([
      { kind: 'layer', digest: digest('base'), size: 1000, held: true, sharedBy: [repo('team/app', 'quay.io')] },
      { kind: 'layer', digest: digest('app'), size: 500, held: true, sharedBy: [] },
    ]);
    expect(image?.size).toBe(1520);
    const moved = await catalog.inventory.image(repo('team/app', 'quay.io'), 'v1');
    expect(moved?.history.map((move) => move.digest)).toEqual([digest('app2'), digest('app1')]);
    expect((await catalog.inventory.image(repo('team/app', 'quay.io'), digest('app1')))?.tag).toBeUndefined();
    expect(await catalog.inventory.image(repo('team/app'), 'v1')).toBeUndefined();
  });

  it('dates the index above an accessed manifest, too, and tells who asked last', async () => {
    const ahead = new Date(Date.now() + 3_600_000);
    const before = new Date();
    const asked = { repository: repo('library/alpine'), digest: digest('amd64') };
    await catalog.touch([
      { ...asked, at: before, client: '10.0.0.1 crane' },
      { ...asked, at: ahead, client: '10.0.0.2 containerd/2.1\0' },
    ]);
    expect(await names({ accessedAfter: before })).toEqual(alpine);
    const clients = async () => {
      const tree = (await catalog.inventory.image(repo('library/alpine'), 'latest'))?.tree;
      return [tree?.lastClient, tree?.children[0]?.lastClient];
    };
    expect(await clients()).toEqual(['10.0.0.2 containerd/2.1', '10.0.0.2 containerd/2.1']);
    // A gateway of the release before does not say who.
    await catalog.touch([{ ...asked, at: ahead }]);
    expect(await clients()).toEqual(['10.0.0.2 containerd/2.1', '10.0.0.2 containerd/2.1']);
  });

  it('counts by upstream', async () => {
    expect(await catalog.inventory.totals()).toEqual([
      { upstream: 'docker.io', repositories: 1, manifests: 2, tags: 2 },
      { upstream: 'quay.io', repositories: 1, manifests: 2, tags: 1 },
    ]);
  });

  it('adds up the usage of all processes', async () => {
    const counts = { misses: 1, failures: 2, bytesServed: 5_000_000_000, bytesFetched: 4, upstreamRequests: 5 };
    const item = { upstream: 'docker.io', kind: 'blob', hits: 3, ...counts } as const;
    await Promise.all([1, 2].map(() => catalog.usage.add([item, { ...item, kind: 'manifest' }])));
    expect(await catalog.usage.totals(3_600_000)).toEqual([
      { ...item, hits: 6, misses: 2, failures: 4, bytesServed: 10_000_000_000, bytesFetched: 8, upstreamRequests: 10 },
      expect.objectContaining({ kind: 'manifest', hits: 6 }),
    ]);
    expect(await catalog.usage.expire(3_600_000)).toBe(0);
  });

  it('gives a duty to one at a time, and again when its interval is over', async () => {
    const takers = await Promise.all(['a', 'b', 'c'].map((holder) => catalog.duties.take('sweep', holder, 60_000)));
    const [duty, ...more] = takers.filter((taken) => taken !== undefined);
    expect(more).toEqual([]);
    expect(await duty?.renew(60_000)).toBe(true);
    await duty?.end(true);
    expect(await duty?.renew(60_000)).toBe(false);
    expect(await catalog.duties.take('sweep', 'b', 60_000, 3_600_000)).toBeUndefined();
    const again = await catalog.duties.take('sweep', 'b', 60_000);
    await again?.end(false);
    expect(await catalog.duties.take('sweep', 'c', 60_000)).toBeDefined();
  });

  it('lists pulls, the newest first, with how they ended', async () => {
    const target = { kind: 'blob', repository: repo('a'), digest: digest('x') } as const;
    const running = await catalog.pulls.claim('a'.repeat(40), target, 'w', 60_000);
    const failing = await catalog.pulls.claim('b'.repeat(40), target, 'w', 60_000);
    if (running.outcome !== 'claimed' || failing.outcome !== 'claimed') throw new Error('not claimed');
    await catalog.pulls.finish(failing.ref, {
      reason: 'BLOB_UNKNOWN',
      message: 'gone',
      origin: 'upstream',
      retryable: false,
    });
    const newest = page('changedAt' as const, { descending: true });
    const all = await catalog.inventory.pulls({}, newest);
    expect(all.items.map(({ state, failure }) => [state, failure?.reason])).toEqual([
      ['finished', 'BLOB_UNKNOWN'],
      ['running', undefined],
    ]);
    expect((await catalog.inventory.pulls({ state: 'failed' }, newest)).items).toHaveLength(1);
    expect((await catalog.inventory.pulls({ state: 'running', upstream: 'docker.io' }, newest)).items).toHaveLength(1);
    expect((await catalog.inventory.pulls({ upstream: 'quay.io' }, newest)).items).toHaveLength(0);
    expect(all.items[0]!.startedAt.getTime()).toBeLessThanOrEqual(all.items[0]!.changedAt.getTime());
  });
});
