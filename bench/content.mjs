import { createHash, randomFillSync } from 'node:crypto';
import { linkSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const INDEX = 'application/vnd.oci.image.index.v1+json';
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const CONFIG = 'application/vnd.oci.image.config.v1+json';
const LAYER = 'application/vnd.oci.image.layer.v1.tar';

/**
 * Writes images where docker-registry and nginx serve them from: `registry/` in docker-registry's own file system layout,
 * `static/v2/...` as hard links to the same bytes under the paths of the pull API.
 */
export class Content {
  /** Paths of everything written: `{path, digest, size}`. */
  objects = [];

  constructor(folder) {
    this.registryRoot = join(folder, 'registry');
    this.staticRoot = join(folder, 'static');
    mkdirSync(this.staticRoot, { recursive: true });
    mkdirSync(join(this.registryRoot, 'docker/registry/v2/repositories'), { recursive: true });
  }

  /** Random bytes, as a layer is: they do not compress. Returns its descriptor and path. */
  layer(repository, size) {
    return this.blob(repository, LAYER, randomFillSync(Buffer.allocUnsafe(size)));
  }

  /** An image of new layers behind an index: what `docker buildx` pushes. */
  image(repository, tag, layerSizes) {
    const layers = layerSizes.map((size) => this.layer(repository, size));
    const settings = {
      architecture: 'amd64',
      os: 'linux',
      config: { Cmd: [repository] },
      rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) },
    };
    const config = this.blob(repository, CONFIG, json(settings));
    const manifest = this.manifest(repository, MANIFEST, {
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: descriptor(config),
      layers: layers.map(descriptor),
    });
    const index = this.manifest(
      repository,
      INDEX,
      {
        schemaVersion: 2,
        mediaType: INDEX,
        manifests: [{ ...descriptor(manifest), platform: { architecture: 'amd64', os: 'linux' } }],
      },
      tag,
    );
    return { index, manifest, config, layers };
  }

  blob(repository, mediaType, bytes) {
    return this.store(repository, '_layers', 'blobs', mediaType, bytes);
  }

  manifest(repository, mediaType, document, tag) {
    const stored = this.store(repository, '_manifests/revisions', 'manifests', mediaType, json(document));
    if (!tag) return stored;
    const tagged = join(this.repositoryFolder(repository), '_manifests/tags', tag);
    write(join(tagged, 'current/link'), stored.digest);
    write(join(tagged, 'index', stored.digest.replace(':', '/'), 'link'), stored.digest);
    const byTag = `/v2/${repository}/manifests/${tag}`;
    link(this.dataFile(stored.digest), join(this.staticRoot, byTag));
    this.objects.push({ ...stored, path: byTag });
    return { ...stored, byTag };
  }

  store(repository, links, kind, mediaType, bytes) {
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    const path = `/v2/${repository}/${kind}/${digest}`;
    write(this.dataFile(digest), bytes);
    write(join(this.repositoryFolder(repository), links, digest.replace(':', '/'), 'link'), digest);
    link(this.dataFile(digest), join(this.staticRoot, path));
    const stored = { mediaType, digest, size: bytes.length, path };
    this.objects.push(stored);
    return stored;
  }

  repositoryFolder(repository) {
    return join(this.registryRoot, 'docker/registry/v2/repositories', repository);
  }

  dataFile(digest) {
    const hex = digest.slice('sha256:'.length);
    return join(this.registryRoot, 'docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex, 'data');
  }
}

function descriptor({ mediaType, digest, size }) {
  return { mediaType, digest, size };
}

function json(document) {
  return Buffer.from(JSON.stringify(document));
}

function write(path, bytes) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
}

function link(from, to) {
  mkdirSync(dirname(to), { recursive: true });
  linkSync(from, to);
}
