import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import type { Digest } from '#oci';
import { type PostgresService, startPostgres } from '../../../test/support/services/index.js';
import { connectCatalog, migrate } from '../adapters.js';
import type { Statement } from '../statements/index.js';
import { PostgresCatalog } from './catalog.js';
import { Connection } from './connection.js';

jest.setTimeout(120_000);

const dumps = join(__dirname, '..', 'migrations', 'dumps');
/** Of the release before: the newest state of which the statements are kept. */
const state = readdirSync(dumps)
  .filter((name) => name.endsWith('.statements.sql'))
  .sort()
  .at(-1)!
  .slice(0, 4);

/** As that release sent them, by name. */
function statementsBefore(): Map<string, string> {
  const text = readFileSync(join(dumps, `${state}.statements.sql`), 'utf8');
  const parts = text.split(/^-- (catalog\.\w+)\n/m).slice(1);
  const found = new Map<string, string>();
  for (let at = 0; at < parts.length; at += 2) found.set(parts[at]!, parts[at + 1]!.trim().replace(/;$/, ''));
  return found;
}

/** A process of the release before: it sends its own SQL, and knows no statement that came later. */
async function catalogBefore(url: string): Promise<PostgresCatalog> {
  const before = statementsBefore();
  const connection = await Connection.open({ url, applicationName: 'before' });
  const own = (statement: Statement): Statement => {
    const text = before.get(statement.name);
    if (text === undefined) throw new Error(`the release before knows no ${statement.name}`);
    return { ...statement, text };
  };
  const query = connection.query.bind(connection);
  const execute = connection.execute.bind(connection);
  // Its code gave as many values as its SQL takes; what this release adds comes last.
  const given = ({ name }: Statement, values: readonly unknown[]) =>
    values.slice(0, Math.max(0, ...[...before.get(name)!.matchAll(/\$(\d+)/g)].map(([, n]) => Number(n))));
  connection.query = (statement, values) => query(own(statement), given(statement, values));
  connection.execute = (statement, values) => execute(own(statement), given(statement, values));
  return new PostgresCatalog(connection);
}

async function sql(url: string, text: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(text);
  } finally {
    await client.end();
  }
}

const digest = (text: string) => `sha256:${createHash('sha256').update(text).digest('hex')}` as Digest;
const manifest = (text: string) => ({
  digest: digest(text),
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  bytes: Buffer.from(text),
  edges: [{ child: digest(`${text} layer`), kind: 'layer' as const, size: 5 }],
});

describe.each([{ version: 15 }, { version: 18 }] as const)(
  `the release of state ${state} beside this one on PostgreSQL $version`,
  ({ version }) => {
    let postgres: PostgresService;
    beforeAll(async () => {
      postgres = await startPostgres({ version });
    });
    afterAll(() => postgres?.stop());

    it('goes on through the migration and after it, and each sees what the other tells', async () => {
      const url = await postgres.createDatabase('beside');
      await sql(url, readFileSync(join(dumps, `${state}.sql`), 'utf8'));
      const before = await catalogBefore(url);
      const repository = { upstream: 'quay.io', path: 'team/app' };
      const target = { kind: 'blob', repository, digest: digest('a layer') } as const;
      /** Everything that a running server does, by `teller`; whatever it tells, `reader` knows. */
      const work = async (teller: PostgresCatalog, reader: PostgresCatalog, name: string) => {
        const { storeManifest, storeBlob, confirmTag, removeTag, touch, storeTagList } = bound(teller);
        const one = manifest(`{"of":"${name}"}`);
        expect(await storeManifest(repository, one, name)).toEqual({ moved: true });
        expect(await reader.findTag(repository, name)).toMatchObject({ digest: one.digest });
        expect((await reader.findManifest(repository, one.digest))?.bytes).toEqual(one.bytes);
        await storeBlob(repository, one.edges[0]!.child, 5);
        expect(await reader.findBlob(repository, one.edges[0]!.child)).toEqual({ size: 5 });
        expect(await reader.knowBlob(repository, one.edges[0]!.child)).toEqual({ held: 5, stored: 5, described: 5 });
        expect(await confirmTag(repository, `${name}-too`, one.digest)).toBe(true);
        await removeTag(repository, `${name}-too`);
        expect(await reader.findTag(repository, `${name}-too`)).toBeUndefined();
        await touch([{ repository, digest: one.digest, at: new Date() }]);
        await storeTagList(repository, [name]);
        expect((await reader.findTags(repository)).listed?.entries).toEqual([name]);
        const counts = await reader.counts();
        expect(counts).toEqual(await teller.counts());
        await teller.forgetBlob(one.edges[0]!.child);
        expect(await reader.findBlob(repository, one.edges[0]!.child)).toBeUndefined();
        const claim = await teller.pulls.claim(name, target, 'one', 60_000);
        expect(await reader.pulls.claim(name, target, 'two', 60_000)).toMatchObject({ outcome: 'held', worker: 'one' });
        if (claim.outcome !== 'claimed') throw new Error('not claimed');
        expect(await teller.pulls.renew(claim.ref, 60_000)).toBe(true);
        expect(await teller.pulls.announce(claim.ref, { url: 'x' }, 5)).toBe(true);
        expect(await reader.pulls.find(name)).toMatchObject({ state: 'running', relay: { url: 'x' } });
        expect(await teller.pulls.finish(claim.ref)).toBe(true);
        expect(await reader.pulls.find(name)).toMatchObject({ state: 'finished' });
        await teller.upstreams.pause(`${name}.example`, 60_000, { cause: 'manual', countedOnly: false });
        expect((await reader.upstreams.list()).map(({ upstream }) => upstream)).toContain(`${name}.example`);
      };
      try {
        await work(before, before, 'alone');
        // While it migrates the release before goes on; a lock makes it wait, never fail.
        const during = Promise.all(
          Array.from({ length: 20 }, (_, n) => before.storeManifest(repository, manifest(`{"n":${n}}`), `during-${n}`)),
        );
        await migrate({ url });
        await during;
        const now = await connectCatalog({ url });
        try {
          for (let n = 0; n < 20; n++)
            expect(await now.findTag(repository, `during-${n}`)).toMatchObject({ digest: digest(`{"n":${n}}`) });
          await work(before, now, 'before');
          await work(now, before, 'now');
        } finally {
          await now.close();
        }
      } finally {
        await before.close();
      }
    });
  },
);

function bound(catalog: PostgresCatalog) {
  return {
    storeManifest: catalog.storeManifest.bind(catalog),
    storeBlob: catalog.storeBlob.bind(catalog),
    confirmTag: catalog.confirmTag.bind(catalog),
    removeTag: catalog.removeTag.bind(catalog),
    touch: catalog.touch.bind(catalog),
    storeTagList: catalog.storeTagList.bind(catalog),
  };
}
