import { createHash } from 'node:crypto';
import { Client } from 'pg';
import type { Digest, Repository } from '#oci';
import { type PostgresService, startPostgres } from '../../test/support/services/index.js';
import { connectCatalog, migrate } from './adapters.js';
import type { PostgresCatalog } from './postgres/catalog.js';

jest.setTimeout(120_000);

const hash = (algorithm: 'sha256' | 'sha512', text: string) =>
  `${algorithm}:${createHash(algorithm).update(text).digest('hex')}` as Digest;
const a: Repository = { upstream: 'docker.io', path: 'library/a' };
const b: Repository = { upstream: 'quay.io', path: 'b' };

describe.each([{ version: 15 }, { version: 18 }] as const)('holdings on PostgreSQL $version', ({ version }) => {
  let postgres: PostgresService;
  let catalog: PostgresCatalog;
  let sql: Client;
  const manifest = (text: string, algorithm: 'sha256' | 'sha512' = 'sha256') => ({
    digest: hash(algorithm, text),
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    bytes: Buffer.from(text),
    edges: [],
  });
  beforeAll(async () => {
    postgres = await startPostgres({ version });
    await migrate({ url: postgres.url });
    catalog = await connectCatalog({ url: postgres.url });
    sql = new Client({ connectionString: postgres.url });
    await sql.connect();
    for (let n = 0; n < 7; n++) await catalog.storeManifest(a, manifest(`{"n":${n}}`), `tag${n}`);
    await catalog.storeManifest(b, manifest('{"n":0}'), 'other');
    await catalog.storeManifest(b, manifest('{"n":0}'), 'another');
    await catalog.storeManifest(b, manifest('{"n":9}', 'sha512'));
    for (let n = 0; n < 5; n++) await catalog.storeBlob(a, hash('sha256', `blob ${n}`), n);
    await catalog.storeBlob(b, hash('sha256', 'blob 0'), 0);
    await catalog.storeBlob(b, hash('sha512', 'blob 9'), 9);
  });
  afterAll(async () => {
    await sql?.end();
    await catalog?.close();
    await postgres?.stop();
  });

  async function all<Item>(
    read: (
      after: readonly string[] | undefined,
      limit: number,
    ) => Promise<readonly (Item & { place: readonly string[] })[]>,
  ): Promise<Item[]> {
    const found: Item[] = [];
    for (let after: readonly string[] | undefined; ; ) {
      const page = await read(after, 2);
      found.push(...page);
      if (page.length < 2) return found;
      after = page.at(-1)!.place;
    }
  }

  it('are read in pages, each thing once', async () => {
    const { holdings } = catalog;
    const manifests = await all((after, limit) => holdings.manifests(after, limit));
    expect(manifests.map(({ repository, digest }) => `${repository.path} ${digest}`).sort()).toEqual(
      [
        ...[0, 1, 2, 3, 4, 5, 6].map((n) => `library/a ${hash('sha256', `{"n":${n}}`)}`),
        `b ${hash('sha256', '{"n":0}')}`,
        `b ${hash('sha512', '{"n":9}')}`,
      ].sort(),
    );
    const tags = await all((after, limit) => holdings.tags(after, limit));
    expect(tags.map(({ repository, name }) => `${repository.path}:${name}`).sort()).toEqual(
      [...[0, 1, 2, 3, 4, 5, 6].map((n) => `library/a:tag${n}`), 'b:another', 'b:other'].sort(),
    );
    const grants = await all((after, limit) => holdings.grants(after, limit));
    expect(grants.map(({ repository, size }) => `${repository.path} ${size}`).sort()).toEqual(
      ['b 0', 'b 9', ...[0, 1, 2, 3, 4].map((n) => `library/a ${n}`)].sort(),
    );
    const blobs: Digest[] = [];
    for (let after: Digest | undefined; ; ) {
      const page = await holdings.blobs(after, 2);
      blobs.push(...page.map(({ digest }) => digest));
      if (page.length < 2) break;
      after = page.at(-1)!.digest;
    }
    const hex = (digest: Digest) => digest.split(':')[1]!;
    expect(blobs.map(hex)).toEqual(
      [0, 1, 2, 3, 4]
        .map((n) => hex(hash('sha256', `blob ${n}`)))
        .concat(hex(hash('sha512', 'blob 9')))
        .sort(),
    );
  });

  it('tell which manifests have other bytes than their digest says', async () => {
    const { holdings } = catalog;
    const bad = hash('sha256', '{"n":3}');
    await sql.query(`UPDATE manifests SET bytes = '{}' WHERE digest = $1`, [Buffer.from(bad.slice(7), 'hex')]);
    const checked: { digest: Digest; intact: boolean }[] = [];
    for (let after: string | undefined; ; ) {
      const page = await holdings.checkManifests(after, 3);
      checked.push(...page);
      if (page.length < 3) break;
      after = page.at(-1)!.place;
    }
    expect(checked.length).toBe(8);
    expect(checked.filter(({ intact }) => !intact).map(({ digest }) => digest)).toEqual([bad]);
    expect(await holdings.checkManifest(bad)).toMatchObject({ intact: false });
    expect(await holdings.checkManifest(hash('sha512', '{"n":9}'))).toMatchObject({ intact: true });
    expect(await holdings.checkManifest(hash('sha256', 'none'))).toBeUndefined();
  });

  it('give a manifest up with its tags, and take the tags back', async () => {
    const { holdings } = catalog;
    const digest = hash('sha256', '{"n":0}');
    const moves = async () => (await sql.query('SELECT count(*)::integer AS n FROM tag_history')).rows[0].n;
    const dropped = await holdings.dropManifest(digest);
    expect(dropped.map(({ repository, tags }) => [repository, tags.map(({ name }) => name)])).toEqual([
      [a, ['tag0']],
      [b, ['another', 'other']],
    ]);
    expect(await catalog.findTag(a, 'tag0')).toBeUndefined();
    expect(await holdings.dropManifest(digest)).toEqual([]);
    const [tag] = dropped[0]!.tags;
    expect(await holdings.restoreTag(a, digest, tag!)).toBe(false);
    await catalog.storeManifest(a, manifest('{"n":0}'));
    const before = await moves();
    expect(await holdings.restoreTag(a, digest, tag!)).toBe(true);
    expect(await catalog.findTag(a, 'tag0')).toMatchObject({ digest });
    expect(await holdings.restoreTag(a, digest, tag!)).toBe(false);
    expect(await moves()).toBe(before);
  });

  it('let nothing older win over what is known of a tag, and no time be ahead', async () => {
    const { holdings } = catalog;
    const [older, newer] = [hash('sha256', '{"n":1}'), hash('sha256', '{"n":2}')];
    await catalog.confirmTag(a, 'race', newer);
    const times = { checkedAt: new Date(Date.now() - 3_600_000), movedAt: new Date(0) };
    expect(await holdings.restoreTag(a, older, { name: 'race', ...times })).toBe(false);
    expect(await catalog.findTag(a, 'race')).toMatchObject({ digest: newer });
    const ahead = new Date(Date.now() + 3_600_000);
    expect(await holdings.restoreTag(a, older, { name: 'race', checkedAt: ahead, movedAt: ahead })).toBe(true);
    expect((await catalog.findTag(a, 'race'))?.age).toBeGreaterThanOrEqual(0);
  });

  it('tell who holds a blob', async () => {
    expect(await catalog.holdings.holders(hash('sha256', 'blob 0'))).toEqual([a, b]);
    expect(await catalog.holdings.holders(hash('sha256', 'none'))).toEqual([]);
  });
});
