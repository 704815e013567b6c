import type { Digest } from '#oci';
import { Failure } from '#oci';
import { FactCache } from './fact-cache.js';

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
    facts.removeTag(repository, 'v1');
    expect(facts.no(repository, 'v1')).toBeUndefined();
  });
});
