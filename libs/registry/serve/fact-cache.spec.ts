import { type Digest, Failure, type Repository } from '#oci';
import { asked, FactCache } from './fact-cache.js';

const repository = { upstream: 'docker.io', path: 'library/alpine' };
const digest = (n: number) => `sha256:${n.toString(16).padStart(64, '0')}` as Digest;
const no = new Failure('MANIFEST_UNKNOWN').toRecord();
const MANY = 10_000;

describe('FactCache', () => {
  const cache = () =>
    new FactCache({
      manifestBytes: 100_000,
      blobBytes: 50_000,
      tagTtl: 60_000,
      negativeTtl: 60_000,
      retryAfter: 60_000,
    });

  it('remembers a bounded number of what upstreams refused, of trouble and of questions', () => {
    const facts = cache();
    for (let n = 0; n <= MANY; n++) {
      facts.addNo(repository, `t${n}`, no);
      facts.addTrouble(repository, `t${n}`, no);
      facts.takesTurnToAsk(repository, `t${n}`);
    }
    const last = `t${MANY}`;
    expect([facts.no(repository, 't0'), facts.trouble(repository, 't0')]).toEqual([undefined, undefined]);
    expect([facts.no(repository, last), facts.trouble(repository, last)]).toEqual([no, no]);
    expect([facts.takesTurnToAsk(repository, 't0'), facts.takesTurnToAsk(repository, last)]).toEqual([true, false]);
  });

  it('keeps manifests and small blobs within their bytes, the last ones', () => {
    const facts = cache();
    const bytes = Buffer.alloc(9_000);
    for (let n = 0; n < 20; n++) {
      facts.addManifest(repository, { digest: digest(n), mediaType: 'a/b', bytes });
      facts.addBlob(repository, digest(n), bytes.length);
      facts.addBlobBytes(digest(n), bytes);
    }
    const held = (of: (n: number) => unknown) => Array.from({ length: 20 }, (_, n) => n).filter((n) => of(n));
    expect(held((n) => facts.manifest(repository, digest(n)))).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
    expect(held((n) => facts.blobBytes(repository, digest(n)))).toEqual([15, 16, 17, 18, 19]);
  });

  it('forgets the "no" about a tag that has moved', () => {
    const facts = cache();
    facts.addNo(repository, 'v1', no);
    facts.moveTag(repository, 'v1');
    expect(facts.no(repository, 'v1')).toBeUndefined();
  });

  it('keeps the HEAD of a tag with its age until the tag is known by more', () => {
    const facts = cache();
    const head = { digest: digest(1), mediaType: 'a/b', size: 7 };
    facts.addNo(repository, 'v1', no);
    facts.addHead(repository, 'v1', head);
    expect(facts.head(repository, 'v1')).toMatchObject({ head, age: expect.any(Number) });
    expect([facts.no(repository, 'v1'), facts.tag(repository, 'v1')]).toEqual([undefined, undefined]);
    facts.moveTag(repository, 'v1', digest(2));
    expect(facts.head(repository, 'v1')).toBeUndefined();
  });

  it('believes a move of a tag where the manifest is known, and else forgets the tag', () => {
    const facts = cache();
    facts.addTag(repository, 'v1', { digest: digest(1), age: 5 });
    facts.moveTag(repository, 'v1', digest(1));
    expect(facts.tag(repository, 'v1')).toBeUndefined();
    facts.addManifest(repository, { digest: digest(1), mediaType: 'a/b', bytes: Buffer.from('x') });
    facts.moveTag(repository, 'v1', digest(1));
    expect(facts.tag(repository, 'v1')?.digest).toBe(digest(1));
    facts.moveTag(repository, 'v1');
    expect(facts.tag(repository, 'v1')).toBeUndefined();
  });
});

const HERE: Repository = { upstream: 'docker.io', path: 'team/here' };
const open = () =>
  new FactCache({ manifestBytes: 10_000, blobBytes: 10_000, tagTtl: 2000, negativeTtl: 1000, retryAfter: 1000 });

afterEach(() => jest.restoreAllMocks());

describe('a tag', () => {
  const at = asked(HERE, 'v1').key;

  it.each([
    [1, 1001],
    [2000, 3000],
  ])('is believed %d ms later, and older by as much', (later, age) => {
    const facts = open();
    const clock = jest.spyOn(Date, 'now').mockReturnValue(5000);
    facts.addTag(HERE, 'v1', { digest: digest(1), age: 1000 });
    clock.mockReturnValue(5000 + later);
    expect(facts.tagAt(at)).toEqual({ digest: digest(1), age, key: asked(HERE, digest(1)).key });
    expect(facts.tag(HERE, 'v1')).toMatchObject({ age });
  });

  it.each([2001, -1])('is asked for again %d ms later', (later) => {
    const facts = open();
    const clock = jest.spyOn(Date, 'now').mockReturnValue(5000);
    facts.addTag(HERE, 'v1', { digest: digest(1), age: 0 });
    clock.mockReturnValue(5000 + later);
    expect(facts.tagAt(at)).toBeUndefined();
    clock.mockReturnValue(5000);
    expect(facts.tagAt(at)).toBeUndefined();
  });
});

it('gives the bytes of a blob only to a repository that holds it', () => {
  const facts = open();
  facts.addBlob(HERE, digest(1), 3);
  facts.addBlobBytes(digest(1), Buffer.from('abc'));
  expect(facts.blobBytesAt(asked(HERE, digest(1)).key, digest(1))?.toString()).toBe('abc');
  const there = asked({ ...HERE, path: 'team/there' }, digest(1));
  expect(facts.blobBytesAt(there.key, digest(1))).toBeUndefined();
});

it('forgets content that was removed, and tags that meant it', () => {
  const facts = open();
  facts.addManifest(HERE, { digest: digest(1), mediaType: 'x/y', bytes: Buffer.alloc(1) });
  facts.addTag(HERE, 'v1', { digest: digest(1), age: 0 });
  facts.addTag(HERE, 'v2', { digest: digest(2), age: 0 });
  facts.addBlob(HERE, digest(3), 3);
  facts.addBlobBytes(digest(3), Buffer.alloc(3));
  facts.removeContents([digest(1), digest(3)]);
  expect(facts.manifest(HERE, digest(1))).toBeUndefined();
  expect(facts.tag(HERE, 'v1')).toBeUndefined();
  expect(facts.tag(HERE, 'v2')).toMatchObject({ digest: digest(2) });
  expect(facts.blobBytes(HERE, digest(3))).toBeUndefined();
});
