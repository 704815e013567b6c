import fc from 'fast-check';
import { Failure } from './failure.js';
import { parseManifest } from './manifest.js';
import {
  DOCKER_MANIFEST,
  DOCKER_MANIFEST_LIST,
  DOCKER_SCHEMA1_SIGNED,
  OCI_ARTIFACT_MANIFEST,
  OCI_INDEX,
  OCI_MANIFEST,
} from './media-type.js';

const digestAt = (n: number) => `sha256:${n.toString(16).padStart(64, '0')}`;
const descriptor = (n: number, more: object = {}) => ({
  mediaType: 'application/x',
  digest: digestAt(n),
  size: n,
  ...more,
});
const parse = (value: unknown, mediaType = OCI_MANIFEST) =>
  parseManifest(Buffer.from(JSON.stringify(value)), mediaType);

describe('parseManifest', () => {
  it('reads an image', () => {
    const image = {
      schemaVersion: 2,
      config: descriptor(1),
      layers: [descriptor(2), descriptor(3, { annotations: { a: 'b' } })],
      subject: descriptor(4),
      annotations: { title: 'x' },
    };
    for (const type of [OCI_MANIFEST, DOCKER_MANIFEST, `${OCI_MANIFEST}; charset=utf-8`])
      expect(parse(image, type)).toEqual({
        kind: 'image',
        children: [
          { kind: 'config', descriptor: descriptor(1) },
          { kind: 'layer', descriptor: descriptor(2) },
          { kind: 'layer', descriptor: descriptor(3, { annotations: { a: 'b' } }) },
        ],
        subject: digestAt(4),
        artifactType: 'application/x',
        annotations: { title: 'x' },
      });
  });

  it('reads an index with its platforms, attestation children too (A51)', () => {
    const amd64 = { platform: { os: 'linux', architecture: 'amd64' } };
    const arm = { platform: { os: 'linux', architecture: 'arm', variant: 'v7' } };
    const unknown = { platform: { os: 'unknown', architecture: 'unknown' }, artifactType: 'application/y' };
    const index = { manifests: [descriptor(1, amd64), descriptor(2, arm), descriptor(3, unknown), descriptor(4)] };
    for (const type of [OCI_INDEX, DOCKER_MANIFEST_LIST])
      expect(parse(index, type)).toEqual({
        kind: 'index',
        children: index.manifests.map((child) => ({ kind: 'manifest', descriptor: child })),
      });
  });

  it('A109 artifactType is its own, else that of the config of an image', () => {
    expect(parse({ artifactType: 'a/b', config: descriptor(1) }).artifactType).toBe('a/b');
    expect(parse({ artifactType: '', config: descriptor(1) }).artifactType).toBe('application/x');
    expect(parse({ artifactType: 'a/b', manifests: [] }, OCI_INDEX).artifactType).toBe('a/b');
    expect(parse({ manifests: [descriptor(1)] }, OCI_INDEX).artifactType).toBeUndefined();
  });

  it('A47 reads what it can of unknown types', () => {
    const everything = {
      config: descriptor(1),
      layers: [descriptor(2)],
      blobs: [descriptor(3)],
      manifests: [descriptor(4)],
    };
    const { kind, children } = parse(everything, 'application/vnd.acme.thing+json');
    expect(kind).toBe('other');
    expect(children.map((child) => [child.kind, child.descriptor.size])).toEqual([
      ['config', 1],
      ['layer', 2],
      ['layer', 3],
      ['manifest', 4],
    ]);
    expect(parse({ blobs: [descriptor(3)] }, OCI_ARTIFACT_MANIFEST).children).toHaveLength(1);
    expect(parse({}, 'application/vnd.acme.thing+json')).toEqual({ kind: 'other', children: [] });
  });

  it('goes by what a document holds where its type says otherwise', () => {
    const image = { config: descriptor(1), layers: [descriptor(2)] };
    const index = { manifests: [descriptor(3)] };
    for (const type of [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST_LIST, DOCKER_SCHEMA1_SIGNED]) {
      expect(parse(image, type)).toMatchObject({ kind: 'image', children: [{ kind: 'config' }, { kind: 'layer' }] });
      expect(parse(index, type)).toMatchObject({ kind: 'index', children: [{ kind: 'manifest' }] });
      expect(parse({ mediaType: OCI_INDEX, layers: [descriptor(2)] }, type).children).toHaveLength(1);
    }
    expect(parse({ mediaType: OCI_INDEX }, OCI_MANIFEST)).toEqual({ kind: 'index', children: [] });
  });

  it('goes by type, its own before the declared one, where a document is image and index at once', () => {
    const both = { config: descriptor(1), layers: [descriptor(2)], manifests: [descriptor(3)] };
    const kindsOf = (mediaType: string, declared: string) =>
      parse({ ...both, mediaType }, declared).children.map((child) => child.kind);
    for (const declared of [OCI_MANIFEST, OCI_INDEX]) {
      expect(kindsOf(DOCKER_MANIFEST, declared)).toEqual(['config', 'layer']);
      expect(kindsOf(DOCKER_MANIFEST_LIST, declared)).toEqual(['manifest']);
    }
    for (const says of ['', 'application/json']) {
      expect(kindsOf(says, OCI_MANIFEST)).toEqual(['config', 'layer']);
      expect(kindsOf(says, OCI_INDEX)).toEqual(['manifest']);
    }
  });

  it('A48 takes no children from schema 1, which tells no sizes', () => {
    const schema1 = { schemaVersion: 1, fsLayers: [{ blobSum: digestAt(1) }], signatures: [] };
    expect(parse(schema1, DOCKER_SCHEMA1_SIGNED)).toEqual({ kind: 'schema1', children: [] });
  });

  it('A86 flags foreign layers', () => {
    const urls = ['https://elsewhere.example/layer'];
    const layers = [
      descriptor(1, { urls }),
      descriptor(2, { urls: [] }),
      descriptor(3, { urls: [1] }),
      descriptor(4, { urls: 'x' }),
    ];
    const { children } = parse({ layers });
    expect(children.map((child) => child.foreign)).toEqual([true, undefined, undefined, undefined]);
    expect(children[0]?.descriptor.urls).toEqual(urls);
  });

  it.each([
    ['no object', 'x'],
    ['null', null],
    ['a list', []],
    ['no digest', { size: 1 }],
    ['a bad digest', descriptor(1, { digest: 'sha256:abc' })],
    ['an upper-case digest', descriptor(10, { digest: digestAt(10).toUpperCase() })],
    ['a digest that is no text', descriptor(1, { digest: 5 })],
    ['no size', { digest: digestAt(1) }],
    ['a negative size', descriptor(1, { size: -1 })],
    ['a fraction', descriptor(1, { size: 1.5 })],
    ['a size as text', descriptor(1, { size: '1' })],
    ['an unsafe size', descriptor(1, { size: 2 ** 53 })],
  ])('leaves out a child that is %s', (_, child) => {
    expect(parse({ layers: [child, descriptor(7)] }).children).toEqual([{ kind: 'layer', descriptor: descriptor(7) }]);
    expect(parse({ config: child, layers: 'none' }).children).toEqual([]);
    expect(parse({ manifests: [child] }, OCI_INDEX).children).toEqual([]);
  });

  it('takes a subject by its digest alone', () => {
    expect(parse({ subject: { digest: digestAt(1) } }).subject).toBe(digestAt(1));
    for (const subject of [null, 'x', {}, { digest: 'sha256:abc' }, { digest: 1 }])
      expect(parse({ subject }).subject).toBeUndefined();
  });

  it('A81 keeps an empty layer', () => expect(parse({ layers: [descriptor(0)] }).children).toHaveLength(1));

  it('A85 lists a repeated layer once, but one child for each platform', () => {
    expect(parse({ layers: [descriptor(1), descriptor(1)] }).children).toHaveLength(1);
    const platform = (variant: string) => ({ platform: { os: 'linux', architecture: 'arm', variant } });
    const manifests = [descriptor(1, platform('v6')), descriptor(1, platform('v7')), descriptor(1, platform('v7'))];
    expect(parse({ manifests }, OCI_INDEX).children).toHaveLength(2);
  });

  it('leaves out of the facts what databases refuse', () => {
    const annotations = { good: 'ä😀', nul: 'a\0', lone: '\ud800', 'k\0': 'x', number: 1, ['__proto__']: 'own' };
    const parsed = parse({
      annotations,
      artifactType: 'a\0/b',
      layers: [descriptor(1, { mediaType: 'x'.repeat(300) })],
    });
    expect(Object.entries(parsed.annotations ?? {})).toEqual([
      ['good', 'ä😀'],
      ['__proto__', 'own'],
    ]);
    expect(parsed.artifactType).toBeUndefined();
    expect(parsed.children[0]?.descriptor.mediaType).toBe('application/octet-stream');
  });

  it('C17 reads an index of 10,000 children', () => {
    const manifests = Array.from({ length: 10_000 }, (_, n) => descriptor(n));
    expect(parse({ manifests }, OCI_INDEX).children).toHaveLength(10_000);
  });

  it.each(['<html></html>', '', 'null', '[]', '1', '{"a":', '['.repeat(1_000_000), Buffer.from([0xff, 0xfe])])(
    'B40 refuses what is no JSON object',
    (body) => {
      for (const type of [OCI_MANIFEST, OCI_INDEX, 'text/html', ''])
        expect(() => parseManifest(Buffer.from(body as string), type)).toThrow(
          expect.objectContaining({ reason: 'UPSTREAM_CONTENT', status: 502, origin: 'upstream' }),
        );
    },
  );

  it('never says in a failure what the upstream sent', () => {
    const secret = parseFailure('{"token": "s3cret"');
    expect(secret.message).not.toContain('s3cret');
  });

  it('gives the parts of an image or an index once each and in order, under any of their types', () => {
    const numbers = fc.array(fc.nat(20), { maxLength: 30 });
    const types = fc.constantFrom(OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_MANIFEST_LIST);
    fc.assert(
      fc.property(numbers, fc.boolean(), types, types, (sizes, index, own, declared) => {
        const parts = sizes.map((n) => descriptor(n));
        const held = index ? { manifests: parts } : { layers: parts };
        const { kind, children } = parse({ mediaType: own, ...held }, declared);
        expect(kind).toBe(index ? 'index' : 'image');
        expect(children.map((child) => child.descriptor.size)).toEqual([...new Set(sizes)]);
        expect(new Set(children.map((child) => child.kind)).size).toBeLessThanOrEqual(1);
      }),
    );
  });

  it('throws nothing but failures, whatever the JSON', () => {
    const field = fc.constantFrom(
      'config',
      'layers',
      'manifests',
      'blobs',
      'subject',
      'annotations',
      'artifactType',
      'digest',
      'size',
      'urls',
      'platform',
      'os',
    );
    const tree = fc.letrec((tie) => ({
      node: fc.oneof(
        { maxDepth: 4 },
        fc.constantFrom<unknown>(null, 1, '', digestAt(1), true),
        fc.array(tie('node'), { maxLength: 3 }),
        fc.dictionary(field, tie('node'), { maxKeys: 5 }),
      ),
    })).node;
    const type = fc.oneof(
      fc.constantFrom(OCI_MANIFEST, OCI_INDEX, DOCKER_SCHEMA1_SIGNED, OCI_ARTIFACT_MANIFEST),
      fc.string(),
    );
    fc.assert(
      fc.property(fc.dictionary(field, tree), type, (value, mediaType) => {
        for (const child of parse(value, mediaType).children) expect(child.descriptor.digest).toBe(digestAt(1));
      }),
      { numRuns: 300 },
    );
  });
});

function parseFailure(body: string): Failure {
  try {
    parseManifest(Buffer.from(body), OCI_MANIFEST);
  } catch (error) {
    if (error instanceof Failure) return error;
  }
  throw new Error('no failure');
}
