import { createHash } from 'node:crypto';
import { type Installation, install, stacks } from '../support/servers.js';
import { programPath } from '../support/services/local.js';
import {
  bytesSource,
  type FakeUpstream,
  type MadeManifest,
  MEDIA_TYPES,
  made,
  randomBytes,
  startFakeUpstream,
} from '../support/upstream/index.js';
import { type Content, runSuite } from './suite.js';
import { startWritable } from './writable.js';

jest.setTimeout(300_000);

const REPOSITORY = 'conformance/repo';

/** The suite's pull and content-discovery APIs, as far as it asks them where it cannot push. */
const READ = Object.fromEntries(
  [
    'Ping',
    'Tag listing',
    'Blob get',
    'Blob head',
    'Manifest get by digest',
    'Manifest get by tag',
    'Manifest head by digest',
    'Manifest head by tag',
    'Referrers',
  ].map((api) => [api, 'Pass']),
);

/** The kinds of content that the suite makes, each pulled byte for byte. */
const DATA = Object.fromEntries(
  [
    'Image',
    'Image Uncompressed',
    'Image with Large Manifest',
    'Index',
    'Nested Index',
    'Empty Index',
    'Artifact',
    'Artifact Index',
    'Artifact without Layers',
    'Artifacts with Subject',
    'Index with Subject',
    'Missing Subject',
    'Blobs sha256',
    'Blobs sha512',
  ].map((kind) => [kind, 'Pass']),
);

describe.each(stacks())('the conformance suite of distribution-spec on the %s stack', (name) => {
  let program: string;
  let upstream: FakeUpstream;
  let system: Installation;
  let content: Content;

  beforeAll(async () => {
    program = await programPath('conformance');
    upstream = await startFakeUpstream();
    content = fill(upstream);
    system = await install(name, [upstream.host], { defaultNs: upstream.host, tags: { fresh: '0s', stale: '0s' } });
  });
  afterAll(async () => {
    await system?.stop();
    await upstream?.stop();
  });

  it('passes with what an upstream holds: cold through one gateway, warm through each', async () => {
    for (const { url } of [system.gateways[0]!, ...system.gateways]) {
      const { result, parts, output } = await runSuite(program, url, REPOSITORY, content);
      expect({ result, parts, output }).toMatchObject({ result: 'Pass', parts: READ });
      expect(output).not.toMatch(/: (FAIL|Skip|Error)$/m);
    }
    for (const digest of content.blobs)
      expect([digest, upstream.requests.gets(new RegExp(digest))]).toEqual([digest, 1]);
  });

  it('passes with content of its own, pushed to the upstream and pulled through us', async () => {
    // Whoever asks for a repository that is not there is told so for some seconds more.
    upstream.addBlob('conformance/own', Buffer.from('{}'));
    const writable = await startWritable(system.gateways.at(-1)!.url, upstream.content);
    try {
      const { result, parts, output } = await runSuite(program, writable.url, 'conformance/own');
      expect({ result, parts, output }).toMatchObject({
        result: 'Pass',
        parts: { ...READ, 'Blob get range': 'Pass', ...DATA },
      });
    } finally {
      await writable.stop();
    }
  });
});

/** One of every kind of content. */
function fill(upstream: FakeUpstream): Content {
  const blobs: string[] = [];
  const manifests: string[] = [];
  const add = (manifest: MadeManifest, tag?: string) => {
    upstream.content.addManifest(REPOSITORY, manifest, tag);
    manifests.push(manifest.digest);
    return manifest;
  };
  const image = upstream.addImage({ repository: REPOSITORY, tag: 'image', layers: [1000, 2 ** 21] }).images[0]!;
  const docker = upstream.addImage({ repository: REPOSITORY, tag: 'docker', mediaTypes: 'docker', seed: 2 }).images[0]!;
  const index = upstream.addImage({
    repository: REPOSITORY,
    tag: 'index',
    platforms: ['linux/amd64', 'linux/arm64'],
    seed: 3,
  });
  for (const each of [image, docker, ...index.images]) {
    manifests.push(each.digest);
    blobs.push(each.config.digest, ...each.layers.map(({ digest }) => digest));
  }
  manifests.push(index.root.digest);
  const of = ({ mediaType, digest, size }: MadeManifest) => ({ mediaType, digest, size });
  const mediaType = MEDIA_TYPES.oci.index;
  add(made(mediaType, { schemaVersion: 2, mediaType, manifests: [of(index.root)] }), 'nested');
  add(made(mediaType, { schemaVersion: 2, mediaType, manifests: [] }), 'empty-index');
  const empty = upstream.addBlob(REPOSITORY, Buffer.from('{}'));
  for (const [n, subject] of [image, index.root].entries()) {
    add(
      made(MEDIA_TYPES.oci.manifest, {
        schemaVersion: 2,
        mediaType: MEDIA_TYPES.oci.manifest,
        artifactType: 'application/vnd.example.signature',
        config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: empty.digest, size: 2 },
        layers: [{ mediaType: 'application/vnd.oci.empty.v1+json', digest: empty.digest, size: 2 }],
        subject: of(subject),
        annotations: { 'org.example.n': String(n) },
      }),
    );
  }
  const long = randomBytes(5000, 9);
  const sha512 = `sha512:${createHash('sha512').update(long).digest('hex')}`;
  upstream.addBlob(REPOSITORY, bytesSource(long, sha512));
  const nothing = upstream.addBlob(REPOSITORY, Buffer.alloc(0));
  blobs.push(empty.digest, sha512, nothing.digest);
  return {
    tags: upstream.content.tags(REPOSITORY),
    manifests,
    blobs,
    referrers: [image.digest, index.root.digest],
  };
}
