import { type Digest, parseManifest } from '#oci';
import { makeImage, makeIndex } from '../../test/support/upstream/index.js';
import { type ContentRule, ContentRules } from './content-rules.js';

const repository = { upstream: 'a.example', path: 'b' };
const image = makeImage({ layers: [1000, 2000] });
const index = makeIndex({ platforms: ['linux/amd64', 'linux/arm64'], layers: [1000] });

function checked(rule: ContentRule, made: typeof image | typeof index = image, upstream = 'a.example') {
  const { mediaType, bytes } = made;
  const digest = made.digest as Digest;
  const rules = new ContentRules(new Map([['a.example', rule]]));
  return () =>
    rules.manifest({ ...repository, upstream }, { mediaType, bytes, digest }, parseManifest(bytes, mediaType));
}

describe('ContentRules', () => {
  const oci = ['application/vnd.oci.image.*'];

  it('lets through what the rule allows, and everything of upstreams without one', () => {
    expect(checked({ maxManifest: 10_000, maxBlob: 100_000, mediaTypes: oci })).not.toThrow();
    expect(checked({ mediaTypes: oci }, index)).not.toThrow();
    expect(checked({ maxManifest: 1 }, image, 'b.example')).not.toThrow();
  });

  it.each<[string, ContentRule, RegExp]>([
    ['a manifest that is too large', { maxManifest: 10 }, /the manifest has \d+ bytes, and 10 are allowed/],
    ['a layer that is too large', { maxBlob: 10 }, /a blob has \d+ bytes, and 10 are allowed/],
    [
      'a type of manifest',
      { mediaTypes: ['application/vnd.docker.*'] },
      /media type application\/vnd\.oci\.image\.manifest/,
    ],
    [
      'a type of layer',
      { mediaTypes: ['application/vnd.oci.image.manifest.v1+json', 'application/vnd.oci.image.config.v1+json'] },
      /media type application\/vnd\.oci\.image\.layer/,
    ],
  ])('refuses %s', (_, rule, message) => {
    expect(checked(rule)).toThrow(
      expect.objectContaining({ reason: 'DENIED', status: 403, message: expect.stringMatching(message) }),
    );
  });

  it('looks at blobs for themselves, too', () => {
    const rules = new ContentRules(new Map([['a.example', { maxBlob: 10 }]]));
    const digest = image.digest as Digest;
    expect(() => rules.blob(repository, digest, 10)).not.toThrow();
    expect(() => rules.blob(repository, digest, 11)).toThrow(/11 bytes/);
    expect(() => rules.blob(repository, digest, undefined)).toThrow(/does not tell/);
  });
});
