import { type BlobSource, bytesSource } from '../support/upstream/blobs.js';
import { type MadeManifest, MEDIA_TYPES, made } from '../support/upstream/images.js';
import type { FakeUpstream } from '../support/upstream/index.js';
import type { Random } from './random.js';

const KiB = 1024;
const MiB = 2 ** 20;

export interface ChaosImage {
  readonly repository: string;
  readonly tag: string;
  readonly manifest: MadeManifest;
  /** Config and layers. */
  readonly blobs: readonly BlobSource[];
}

/** An image of its own content: a config, a layer verified before its first byte, and one or two that stream. */
export function addChaosImage(upstream: FakeUpstream, number: number, random: Random): ChaosImage {
  const repository = `chaos/${number % 7}`;
  const tag = `v${number}`;
  const config = bytesSource(Buffer.from(JSON.stringify({ os: 'linux', architecture: 'amd64', number })));
  upstream.addBlob(repository, config);
  const sizes = [random.int(2, 900) * KiB, random.int(4, 20) * MiB + random.int(0, 999)];
  if (random.chance(0.3)) sizes.push(random.int(1, 4) * MiB + 1);
  const layers = sizes.map((size, i) => upstream.addBlob(repository, { size, seed: number * 10 + i }));
  const types = MEDIA_TYPES.oci;
  const describe = (mediaType: string, { digest, size }: BlobSource) => ({ mediaType, digest, size });
  const manifest = made(types.manifest, {
    schemaVersion: 2,
    mediaType: types.manifest,
    config: describe(types.config, config),
    layers: layers.map((layer) => describe(types.layer, layer)),
  });
  upstream.content.addManifest(repository, manifest, tag);
  return { repository, tag, manifest, blobs: [config, ...layers] };
}
