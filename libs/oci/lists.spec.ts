import fc from 'fast-check';
import { Failure } from './failure.js';
import { byBytes, pageOf, parseReferrers, parseTagList, referrersIndex, referrersTag } from './lists.js';
import { OCI_INDEX } from './media-type.js';
import { isTag } from './reference.js';

const json = (value: unknown) => Buffer.from(JSON.stringify(value));
const digest = (n: number) => `sha256:${n.toString(16).padStart(64, '0')}` as const;

describe('pageOf', () => {
  const page = (sorted: readonly string[], query: { n?: number; last?: string }, most = 100) =>
    pageOf(sorted, query, { keyOf: (entry) => entry, most });

  it.each([
    ['A99: everything without a query', {}, ['a', 'b', 'c'], undefined],
    ['A101: n', { n: 2 }, ['a', 'b'], 'b'],
    ['A101: exactly all has no next page', { n: 3 }, ['a', 'b', 'c'], undefined],
    ['A101: n=0 gives nothing and no next page', { n: 0 }, [], undefined],
    ['A101: last', { last: 'a' }, ['b', 'c'], undefined],
    ['A101: last that is no entry', { n: 1, last: 'aa' }, ['b'], 'b'],
    ['A101: last at the end', { last: 'c' }, [], undefined],
    ['A103: a large n', { n: 10_000 }, ['a', 'b', 'c'], undefined],
  ])('%s', (_, query, entries, next) => {
    expect(page(['a', 'b', 'c'], query)).toEqual({ entries, ...(next ? { next } : {}) });
  });

  it('walks every list exactly once, whatever the page size and the weights', () => {
    const options = fc.record({ n: fc.integer({ min: 1, max: 7 }), most: fc.integer({ min: 1, max: 5 }) });
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.string()),
        options,
        fc.integer({ min: 1, max: 20 }),
        (names, { n, most }, weight) => {
          const sorted = names.sort(byBytes);
          const seen: string[] = [];
          let last: string | undefined;
          do {
            const found = pageOf(
              sorted,
              { n, ...(last === undefined ? {} : { last }) },
              { keyOf: (entry) => entry, most, weightOf: (entry) => entry.length, mostWeight: weight },
            );
            seen.push(...found.entries);
            expect(found.entries.length).toBeLessThanOrEqual(Math.min(n, most));
            last = found.next;
          } while (last !== undefined);
          expect(seen).toEqual(sorted);
        },
      ),
    );
  });
});

describe('parseTagList', () => {
  it.each([
    ['tags', { name: 'a', tags: ['b', 'A', '1.0'] }, ['b', 'A', '1.0']],
    ['A99: null', { name: 'a', tags: null }, []],
    ['nothing', {}, []],
    ['A104: what is no tag', { tags: ['ok', '', '-a', 'a/b', 'x'.repeat(129), 1, null, 'a b', 'é'] }, ['ok']],
  ])('%s', (_, body, tags) => expect(parseTagList(json(body))).toEqual(tags));

  it('B40: refuses pages that are no JSON object', () => {
    for (const body of ['<html>', '', '[]', '"a"']) expect(() => parseTagList(Buffer.from(body))).toThrow(Failure);
  });

  it('gives only tags, of any JSON', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (tags) => {
        expect(parseTagList(json({ tags })).every(isTag)).toBe(true);
      }),
    );
  });
});

describe('parseReferrers', () => {
  const good = { mediaType: 'application/a', digest: digest(1), size: 1, data: 'e30=', annotations: { a: 'b' } };

  it('A109: keeps descriptors verbatim and drops unusable ones', () => {
    const bad = [
      null,
      'x',
      {},
      { ...good, digest: 'sha256:00' },
      { ...good, size: -1 },
      { ...good, size: '1' },
      { ...good, mediaType: 7 },
      { ...good, annotations: [] },
      { ...good, artifactType: {} },
    ];
    expect(parseReferrers(json({ manifests: [...bad, good, ...bad] }))).toEqual([good]);
    expect(parseReferrers(json(referrersIndex([good])))).toEqual([good]);
  });

  it.each([
    ['an image', { config: {}, layers: [] }],
    ['another index type', { mediaType: 'application/other', manifests: [] }],
    ['manifests that are no list', { mediaType: OCI_INDEX, manifests: {} }],
  ])('A112: %s is no index', (_, document) => expect(parseReferrers(json(document))).toBeUndefined());

  it('never throws anything but a Failure', () => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array(), fc.json().map(Buffer.from)), (bytes) => {
        try {
          parseReferrers(Buffer.from(bytes));
        } catch (error) {
          expect(error).toBeInstanceOf(Failure);
        }
      }),
    );
  });
});

it('A111: names the tag that stands in for the referrers API', () => {
  expect(referrersTag(digest(5))).toBe(digest(5).replace(':', '-'));
  expect(referrersTag(`sha512:${'a'.repeat(128)}`)).toBe(`sha512-${'a'.repeat(64)}`);
});
