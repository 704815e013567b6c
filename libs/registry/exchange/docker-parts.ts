import { type Digest, isObject, OCI_MANIFEST } from '#oci';
import { type Aside, badArchive, type Scratch } from './archive.js';
import type { ArchiveReader } from './archive-reader.js';
import { json, type NamedImage } from './named-images.js';

type Parts = Extract<NamedImage['root'], { kind: 'parts' }>;

const OCI_CONFIG = 'application/vnd.oci.image.config.v1+json';
const OCI_LAYER = 'application/vnd.oci.image.layer.v1.tar';

/**
 * The OCI manifest of an image that `docker save` took apart. The archive has no manifest, so this is none that a registry
 * ever had; equal archives give equal bytes. Layers that are plain are checked against the config's `diff_ids`.
 */
export async function imageOfParts(
  { config, layers }: Parts,
  reader: ArchiveReader,
  scratch: Scratch,
): Promise<{ bytes: Buffer; mediaType: string; parts: Map<Digest, Aside> }> {
  const parts = new Map<Digest, Aside>();
  const take = (part: Aside | Digest): { digest: Digest; size: number } => {
    if (typeof part === 'string') return { digest: part, size: reader.stored.get(part)! };
    parts.set(part.digest, part);
    return { digest: part.digest, size: part.size };
  };
  if (typeof config === 'string') throw badArchive('the config of an image is too large');
  const diffIds = diffIdsOf(json(await reader.document(config), 'the config of an image'));
  if (diffIds.length !== layers.length)
    throw badArchive(`the config of an image names ${diffIds.length} layers, and manifest.json ${layers.length}`);
  const described = [];
  for (const [index, layer] of layers.entries()) {
    const part = take(layer);
    // Only a layer that is aside can be looked into cheaply; what is in the store was named by its digest.
    const compression = typeof layer === 'string' ? '' : await compressionOf(scratch, layer);
    const plain = compression === '' && (typeof layer !== 'string' || part.digest === diffIds[index]);
    if (plain && part.digest !== diffIds[index])
      throw badArchive(`layer ${index + 1} of an image is ${part.digest}, and its config says ${diffIds[index]}`);
    described.push({ mediaType: plain ? OCI_LAYER : `${OCI_LAYER}${compression || '+gzip'}`, ...part });
  }
  const manifest = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: { mediaType: OCI_CONFIG, ...take(config) },
    layers: described,
  };
  return { bytes: Buffer.from(JSON.stringify(manifest)), mediaType: OCI_MANIFEST, parts };
}

function diffIdsOf(config: unknown): readonly unknown[] {
  const rootfs = isObject(config) ? config.rootfs : undefined;
  const diffIds = isObject(rootfs) ? rootfs.diff_ids : undefined;
  if (!Array.isArray(diffIds)) throw badArchive('the config of an image has no rootfs.diff_ids');
  return diffIds;
}

async function compressionOf(scratch: Scratch, layer: Aside): Promise<'' | '+gzip' | '+zstd'> {
  for await (const first of scratch.read({ ...layer, size: Math.min(layer.size, 4) })) {
    if (first[0] === 0x1f && first[1] === 0x8b) return '+gzip';
    if (first.length === 4 && first.readUInt32LE(0) === 0xfd2fb528) return '+zstd';
  }
  return '';
}
