import { gzipSync } from 'node:zlib';
import { type BlobSource, bytesSource, randomBytes, sha256 } from './blobs.js';
import { tar } from './tar.js';

export const MEDIA_TYPES = {
  oci: {
    index: 'application/vnd.oci.image.index.v1+json',
    manifest: 'application/vnd.oci.image.manifest.v1+json',
    config: 'application/vnd.oci.image.config.v1+json',
    layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
  },
  docker: {
    index: 'application/vnd.docker.distribution.manifest.list.v2+json',
    manifest: 'application/vnd.docker.distribution.manifest.v2+json',
    config: 'application/vnd.docker.container.image.v1+json',
    layer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  },
} as const;
type MediaTypes = keyof typeof MEDIA_TYPES;

export interface MadeManifest {
  readonly mediaType: string;
  readonly digest: string;
  readonly bytes: Buffer;
  /** Bytes; `bytes.length`. */
  readonly size: number;
}

/** One platform's image: real tar+gzip layers with the right diff_ids, so that clients can unpack it. */
export interface MadeImage extends MadeManifest {
  readonly platform: string;
  readonly config: BlobSource;
  readonly layers: readonly BlobSource[];
}

export interface MadeIndex extends MadeManifest {
  readonly images: readonly MadeImage[];
}

export interface ImageOptions {
  /** Bytes of random content in each layer's one file; the compressed layer is a little longer. Default [1000]. */
  readonly layers?: readonly number[];
  /** `os/architecture[/variant]`. Default linux/amd64. */
  readonly platform?: string;
  /** Default oci. */
  readonly mediaTypes?: MediaTypes;
  /** Equal seeds give equal bytes. Default 1. */
  readonly seed?: number;
  readonly annotations?: Readonly<Record<string, string>>;
}

export function makeImage(options: ImageOptions = {}): MadeImage {
  const { layers: sizes = [1000], platform = 'linux/amd64', mediaTypes = 'oci', seed = 1, annotations } = options;
  const types = MEDIA_TYPES[mediaTypes];
  const diffIds: string[] = [];
  const layers = sizes.map((size, i) => {
    const bytes = randomBytes(size, seed * 1000 + i + hash(platform));
    const archive = tar([{ name: `layer-${seed}-${i}.bin`, bytes }]);
    diffIds.push(sha256(archive));
    // Random content does not shrink, so the cheapest level is as good as any.
    return bytesSource(gzipSync(archive, { level: 1 }));
  });
  const [os, architecture, variant] = platform.split('/');
  const config = bytesSource(
    json({
      created: '1970-01-01T00:00:00Z',
      architecture,
      os,
      ...(variant ? { variant } : {}),
      config: { Cmd: ['/layer'], Labels: { seed: String(seed) } },
      rootfs: { type: 'layers', diff_ids: diffIds },
      history: diffIds.map((_, i) => ({ created: '1970-01-01T00:00:00Z', created_by: `layer ${i}` })),
    }),
  );
  const manifest = made(types.manifest, {
    schemaVersion: 2,
    mediaType: types.manifest,
    config: descriptor(types.config, config),
    layers: layers.map((layer) => descriptor(types.layer, layer)),
    ...(annotations ? { annotations } : {}),
  });
  return { ...manifest, platform, config, layers };
}

/** A multi-platform index over one image for each platform. */
export function makeIndex(options: Omit<ImageOptions, 'platform'> & { platforms: readonly string[] }): MadeIndex {
  const { platforms, mediaTypes = 'oci' } = options;
  const type = MEDIA_TYPES[mediaTypes].index;
  const images = platforms.map((platform) => makeImage({ ...options, platform }));
  const index = made(type, {
    schemaVersion: 2,
    mediaType: type,
    manifests: images.map((image) => {
      const [os, architecture, variant] = image.platform.split('/');
      return {
        ...descriptor(image.mediaType, image),
        platform: { architecture, os, ...(variant ? { variant } : {}) },
      };
    }),
  });
  return { ...index, images };
}

/** Any JSON document as a manifest of `mediaType`. */
export function made(mediaType: string, document: unknown): MadeManifest {
  const bytes = json(document);
  return { mediaType, digest: sha256(bytes), bytes, size: bytes.length };
}

function descriptor(mediaType: string, of: { digest: string; size: number }) {
  return { mediaType, digest: of.digest, size: of.size };
}

// Indented, as many real tools write it: whoever serialises anew is found out.
const json = (document: unknown) => Buffer.from(JSON.stringify(document, null, 2));
const hash = (text: string) => [...text].reduce((sum, c) => (sum * 31 + c.charCodeAt(0)) % 100_003, 0);
