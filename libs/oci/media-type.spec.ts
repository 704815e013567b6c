import fc from 'fast-check';
import { Failure } from './failure.js';
import {
  DOCKER_IMAGE_CONFIG,
  DOCKER_MANIFEST,
  DOCKER_MANIFEST_LIST,
  DOCKER_SCHEMA1,
  DOCKER_SCHEMA1_SIGNED,
  inferManifestType,
  isImageType,
  isIndexType,
  isSchema1Type,
  MANIFEST_ACCEPT,
  OCI_ARTIFACT_MANIFEST,
  OCI_INDEX,
  OCI_MANIFEST,
  stripParameters,
} from './media-type.js';

const bytes = (value: unknown) => Buffer.from(JSON.stringify(value));

describe('media types', () => {
  it('B33, A43 asks for every manifest type and then for anything, without weights', () => {
    expect(MANIFEST_ACCEPT.split(', ')).toEqual([
      'application/vnd.oci.image.index.v1+json',
      'application/vnd.docker.distribution.manifest.list.v2+json',
      'application/vnd.oci.image.manifest.v1+json',
      'application/vnd.docker.distribution.manifest.v2+json',
      'application/vnd.oci.artifact.manifest.v1+json',
      'application/vnd.docker.distribution.manifest.v1+prettyjws',
      'application/vnd.docker.distribution.manifest.v1+json',
      '*/*',
    ]);
  });

  it('tells them apart', () => {
    const all = MANIFEST_ACCEPT.split(', ');
    expect(all.filter(isIndexType)).toEqual([OCI_INDEX, DOCKER_MANIFEST_LIST]);
    expect(all.filter(isImageType)).toEqual([OCI_MANIFEST, DOCKER_MANIFEST]);
    expect(all.filter(isSchema1Type)).toEqual([DOCKER_SCHEMA1_SIGNED, DOCKER_SCHEMA1]);
    expect(isIndexType(`${OCI_INDEX.toUpperCase()} ; charset=utf-8`)).toBe(true);
  });

  it.each([
    ['application/json; charset=utf-8', 'application/json'],
    [' a/b ;x=";"', 'a/b'],
    ['A/B', 'A/B'],
    ['', ''],
  ])('A42 strips %j to %j', (value, want) => expect(stripParameters(value)).toBe(want));
});

describe('B31 inferred type', () => {
  const oci = { schemaVersion: 2, config: { mediaType: 'application/vnd.oci.image.config.v1+json' }, layers: [] };
  it.each([
    ['A41 what is declared, whatever the body', OCI_MANIFEST, { mediaType: OCI_INDEX }, OCI_MANIFEST],
    ['A42 without parameters', `${OCI_INDEX}; charset=utf-8`, {}, OCI_INDEX],
    ['A47 an unknown declared type', 'application/vnd.acme.thing+json', oci, 'application/vnd.acme.thing+json'],
    ['mediaType for none', undefined, { mediaType: DOCKER_MANIFEST }, DOCKER_MANIFEST],
    ['mediaType for text/plain', 'text/plain; charset=utf-8', { mediaType: OCI_INDEX }, OCI_INDEX],
    ['mediaType for application/json', 'application/json', { mediaType: 'application/x.y' }, 'application/x.y'],
    ['mediaType for octet-stream', 'application/octet-stream', { mediaType: OCI_MANIFEST }, OCI_MANIFEST],
    ['mediaType for a header that is none', 'nonsense', { mediaType: OCI_MANIFEST }, OCI_MANIFEST],
    ['shape where mediaType would split a header', '', { ...oci, mediaType: 'a/b\r\nx: y' }, OCI_MANIFEST],
    ['shape where mediaType says nothing', '', { ...oci, mediaType: 'application/json' }, OCI_MANIFEST],
    ['shape: OCI image', undefined, oci, OCI_MANIFEST],
    ['shape: layers only', undefined, { layers: [] }, OCI_MANIFEST],
    ['shape: docker image', undefined, { config: { mediaType: DOCKER_IMAGE_CONFIG }, layers: [] }, DOCKER_MANIFEST],
    ['shape: index', undefined, { manifests: [] }, OCI_INDEX],
    ['shape: index of OCI images', undefined, { manifests: [{ mediaType: OCI_MANIFEST }] }, OCI_INDEX],
    ['shape: docker list', undefined, { manifests: [{ mediaType: DOCKER_MANIFEST }] }, DOCKER_MANIFEST_LIST],
    ['shape: artifact', undefined, { blobs: [] }, OCI_ARTIFACT_MANIFEST],
    [
      'A48 shape: signed schema 1',
      undefined,
      { schemaVersion: 1, fsLayers: [], signatures: [] },
      DOCKER_SCHEMA1_SIGNED,
    ],
    ['A48 shape: schema 1', 'text/plain', { schemaVersion: 1 }, DOCKER_SCHEMA1],
    ['no known shape', 'text/plain', { a: 1 }, 'application/json'],
  ])('%s', (_, declared, body, want) => expect(inferManifestType(bytes(body), declared)).toBe(want));

  it.each(['<html><body>Log in</body></html>', '', 'null', '[]', '"text"', '1', '{', '\uFEFF{}'])(
    'B40 refuses %j',
    (body) => {
      expect(() => inferManifestType(Buffer.from(body), 'text/html')).toThrow(
        expect.objectContaining({ reason: 'UPSTREAM_CONTENT', status: 502, origin: 'upstream' }),
      );
    },
  );

  it('gives what may stand in a header, or fails as the upstream', () => {
    const declared = fc.option(fc.oneof(fc.string(), fc.constantFrom('text/plain', 'application/json')), {
      nil: undefined,
    });
    const body = fc.oneof(
      fc.json(),
      fc.record({ mediaType: fc.string({ unit: 'binary' }) }).map((v) => JSON.stringify(v)),
      fc.string(),
    );
    fc.assert(
      fc.property(body, declared, (text, type) => {
        try {
          expect(inferManifestType(Buffer.from(text), type)).toMatch(/^[\x21-\x7e]+\/[\x21-\x7e]+$/);
        } catch (error) {
          expect(error).toBeInstanceOf(Failure);
          expect((error as Failure).reason).toBe('UPSTREAM_CONTENT');
        }
      }),
    );
  });
});
