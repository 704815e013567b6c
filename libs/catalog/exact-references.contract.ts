import { createHash } from 'node:crypto';
import fc from 'fast-check';
import type { Client } from 'pg';
import type { Repository } from '#oci';
import type { Catalog, Edge, PruneJob, PruneProtection, PruneRule } from './index.js';
import { parsePatterns } from './index.js';

export const DAY = 24 * 3_600_000;
export const digest = (text: string) => `sha256:${createHash('sha256').update(text).digest('hex')}` as const;
export const repo = (path: string, upstream = 'docker.io'): Repository => ({ upstream, path });
export const layer = (name: string, size = 100): Edge => ({ child: digest(name), kind: 'layer', size });
export const child = (name: string): Edge => ({ child: digest(name), kind: 'manifest', size: 10 });
export const manifest = (name: string, edges: readonly Edge[] = []) => ({
  digest: digest(name),
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  bytes: Buffer.from(name.padEnd(10)),
  edges,
});
export const pattern = (text: string) => ({ patterns: parsePatterns(text) });

interface Given {
  readonly catalog: Catalog;
  readonly sql: Client;
  clear(): Promise<void>;
  /** Sorted, `<path> <tag or digest>`. */
  names(table: 'tags' | 'repository_manifests' | 'repository_blobs'): Promise<string[]>;
  stored(path: string, name: string, edges: readonly Edge[], tags?: readonly string[]): Promise<void>;
  aged(path: string, name: string, days: number): Promise<unknown>;
  plan(rule: PruneRule, protection?: Partial<PruneProtection>): Promise<PruneJob>;
  /** Carries the plan out to its end, so many images in a step. */
  apply(id: string, limit?: number): Promise<PruneJob>;
}

/** Generated images and indexes against generated rules; PRUNE_RUNS and PRUNE_SEED for more and for others. */
export function exactReferences(given: () => Given): void {
  it('keeps exact references, whatever is stored and pruned', async () => {
    const { catalog, sql, clear, names, stored, aged, plan, apply } = given();
    const image = fc.record({
      repository: fc.constantFrom('a', 'b', 'c'),
      layers: fc.uniqueArray(fc.constantFrom('1', '2', '3', '4', '5', '6'), { maxLength: 4 }),
      tags: fc.uniqueArray(fc.constantFrom('v1', 'v2', 'x1', 'x2'), { maxLength: 2 }),
      age: fc.integer({ min: 0, max: 5 }),
    });
    const index = fc.record({
      repository: fc.constantFrom('a', 'b', 'c'),
      children: fc.uniqueArray(fc.nat(7), { minLength: 1, maxLength: 3 }),
      tags: fc.uniqueArray(fc.constantFrom('v3', 'x3'), { maxLength: 2 }),
      age: fc.integer({ min: 0, max: 5 }),
    });
    const rule = fc.oneof(
      fc.constantFrom('v', 'x', ':v1', 'docker.io/a', '@').map((text): PruneRule => pattern(text)),
      fc.integer({ min: 0, max: 5 }).map((days): PruneRule => ({ accessedBefore: new Date(Date.now() - days * DAY) })),
      fc.integer({ min: 0, max: 600 }).map((toSize): PruneRule => ({ toSize })),
      fc.integer({ min: 0, max: 3 }).map((count): PruneRule => ({ count })),
    );
    const keep = fc.constantFrom<readonly string[]>([], [], ['v2'], ['docker.io/b']);
    await fc.assert(
      fc.asyncProperty(
        fc.array(image, { minLength: 1, maxLength: 8 }),
        fc.array(index, { maxLength: 4 }),
        rule,
        keep,
        fc.integer({ min: 1, max: 4 }),
        async (images, indexes, what, kept, limit) => {
          await clear();
          for (const [n, { repository, layers, tags, age }] of images.entries()) {
            await stored(
              repository,
              `image ${n}`,
              layers.map((name) => layer(name)),
              tags,
            );
            await aged(repository, `image ${n}`, age);
          }
          for (const [n, { repository, children, tags, age }] of indexes.entries()) {
            await stored(
              repository,
              `index ${n}`,
              children.map((c) => child(`image ${c}`)),
              tags,
            );
            await aged(repository, `index ${n}`, age);
          }
          const job = await plan(what, { keep: kept });
          const tagsBefore = await names('tags');
          const { planned, removed } = await apply(job.id, limit);
          expect(planned).toMatchObject(removed);
          // Counted as they are.
          const { rows } = await sql.query(
            `SELECT (SELECT count(*)::int FROM manifests) AS manifests, (SELECT count(*)::int FROM blobs) AS blobs,
                    (SELECT count(*)::int FROM tags) AS tags, (SELECT coalesce(sum(size), 0)::int FROM blobs) AS "blobBytes"`,
          );
          expect(await catalog.counts()).toMatchObject(rows[0]);
          if (what.toSize !== undefined) expect(Math.max(0, rows[0].blobBytes - what.toSize)).toBe(planned.above);
          const left = await names('tags');
          expect(
            tagsBefore.filter((name) => kept.some((k) => `docker.io/${name.replace(' ', ':')}`.includes(k))),
          ).toEqual(left.filter((name) => kept.some((k) => `docker.io/${name.replace(' ', ':')}`.includes(k))));
          const wrong = await sql.query(`
            SELECT 'a needed blob is gone' AS what FROM repository_manifests h
              JOIN edges e ON e.parent_id = h.manifest_id AND e.kind = 'layer'
              WHERE NOT EXISTS (SELECT FROM repository_blobs rb JOIN blobs b ON b.id = rb.blob_id
                WHERE rb.repository_id = h.repository_id AND b.digest = e.child)
            UNION ALL SELECT 'a blob that nothing needs' FROM repository_blobs rb JOIN blobs b ON b.id = rb.blob_id
              WHERE NOT EXISTS (SELECT FROM repository_manifests h JOIN edges e ON e.parent_id = h.manifest_id
                WHERE h.repository_id = rb.repository_id AND e.child = b.digest)
            UNION ALL SELECT 'a blob without a holder' FROM blobs b
              WHERE NOT EXISTS (SELECT FROM repository_blobs rb WHERE rb.blob_id = b.id)
            UNION ALL SELECT 'a manifest without a holder' FROM manifests m
              WHERE NOT EXISTS (SELECT FROM repository_manifests h WHERE h.manifest_id = m.id)`);
          expect(wrong.rows).toEqual([]);
          // An index that is left still has the children that it had.
          for (const { repository, children, tags: _, age: __ } of indexes) {
            const held = await names('repository_manifests');
            const n = indexes.findIndex((one) => one.children === children);
            if (!held.includes(`${repository} ${digest(`index ${n}`).slice(7)}`)) continue;
            for (const c of children) {
              if (images[c]?.repository !== repository) continue;
              expect(held).toContain(`${repository} ${digest(`image ${c}`).slice(7)}`);
            }
          }
        },
      ),
      { numRuns: Number(process.env.PRUNE_RUNS ?? 40), seed: Number(process.env.PRUNE_SEED ?? 7), endOnFailure: false },
    );
  });
}
