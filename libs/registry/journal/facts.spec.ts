import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import type { Digest } from '#oci';
import { decodeFacts, encodeFacts, type Fact } from './facts.js';

const text = fc.string({ minLength: 1, maxLength: 30, unit: 'grapheme' });
const repository = fc.record({ upstream: text, path: text });
const digest = fc.nat().map((n) => `sha256:${n.toString(16).padStart(64, '0')}` as Digest);
const date = fc.nat({ max: 4e12 }).map((ms) => new Date(ms));
const fact: fc.Arbitrary<Fact> = fc.oneof(
  fc.record({
    kind: fc.constant('manifest' as const),
    repository,
    manifest: fc.record({
      digest,
      mediaType: text,
      bytes: fc.uint8Array({ maxLength: 300 }).map((b) => Buffer.from(b)),
    }),
  }),
  fc.record({
    kind: fc.constant('tag' as const),
    repository,
    digest,
    tag: fc.record({ name: text, checkedAt: date, movedAt: date }),
  }),
  fc.record({ kind: fc.constant('untag' as const), repository, name: text }),
  fc.record({ kind: fc.constant('blob' as const), repository, digest }),
);

describe('a segment of the journal', () => {
  it('reads as it was written', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fact, { maxLength: 20 }), async (facts) => {
        expect(await decodeFacts(await encodeFacts(facts))).toEqual(facts);
      }),
    );
  });

  it.each<[string, Buffer]>([
    ['nothing', Buffer.alloc(0)],
    ['no gzip', Buffer.from('facts')],
    ['gzip of something else', gzipSync('{"hello": 1}\n')],
    ['a later version', gzipSync('{"ociregistry":"journal","version":2}\n')],
    ['a line that is cut', gzipSync('{"ociregistry":"journal","version":1}\n["b","docker.io"')],
    ['a fact of no kind', gzipSync('{"ociregistry":"journal","version":1}\n["x","docker.io","a","b"]\n')],
    ['a fact without a digest', gzipSync('{"ociregistry":"journal","version":1}\n["b","docker.io","a","sha256:1"]\n')],
  ])('is refused: %s', async (_, bytes) => {
    await expect(decodeFacts(bytes)).rejects.toThrow();
  });

  it('that is cut off is refused', async () => {
    const whole = await encodeFacts([{ kind: 'untag', repository: { upstream: 'a', path: 'b' }, name: 'c' }]);
    await expect(decodeFacts(whole.subarray(0, -4))).rejects.toThrow();
  });
});
