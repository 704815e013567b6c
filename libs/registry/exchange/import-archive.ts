import { forEach } from '#async';
import type { BlobStore } from '#blobs';
import { type Bus, EVENT_MAJOR } from '#bus';
import type { Catalog } from '#catalog';
import type { Digest } from '#oci';
import type { PlatformChoice } from '../platform-choice.js';
import type { Log } from '../ports.js';
import { type Archive, badArchive, type Scratch } from './archive.js';
import { ArchiveReader } from './archive-reader.js';
import { type Assembled, ImageAssembly, type ImportedImage } from './image-assembly.js';
import { givenName, type NamedImage, namedImages } from './named-images.js';

export interface ImportPorts {
  readonly catalog: Catalog;
  readonly blobs: BlobStore;
  readonly bus: Bus;
  readonly log: Log;
  /** A new one for every import. */
  scratch(): Promise<Scratch>;
}

export interface ImportRequest {
  /** The name of the only image, whatever the archive says (`--resolve-ref` of the Go server). */
  readonly name?: string;
  /** Of an index only these; everything that the archive holds by default. */
  readonly platforms?: PlatformChoice;
  /** Upstream of names that tell no host; Docker Hub by default. */
  readonly defaultHost?: string;
  readonly signal?: AbortSignal;
}

export interface ImportReport {
  readonly images: readonly ImportedImage[];
  /** Blobs that were not here before. */
  readonly newBlobs: number;
}

const WRITES = 32;
/** For questions about bytes, which all repositories share. */
const ANY = { upstream: 'docker.io', path: 'library/any' };

/**
 * Takes the images of an archive into the cache: `docker save`, OCI layout, containerd's export, the Go server's image
 * directory. Bytes are verified on their way into the store; facts are told last, blobs before manifests before tags, and
 * only for images of which everything is there. When the archive is bad, nothing of it stays.
 */
export async function importArchive(
  archive: Archive,
  request: ImportRequest,
  ports: ImportPorts,
): Promise<ImportReport> {
  const scratch = await ports.scratch();
  const reader = new ArchiveReader(ports.blobs, scratch);
  try {
    await reader.read(archive, request.signal);
    const named = nameThem(namedImages(reader, request.defaultHost), request);
    const assembly = new ImageAssembly(reader, scratch, ports.catalog, request);
    const images: ImportedImage[] = [];
    const whole: Assembled[] = [];
    for (const image of named) {
      request.signal?.throwIfAborted();
      const { assembled, shown } = await assembly.assemble(image);
      if (assembled) whole.push(assembled);
      images.push(shown);
    }
    for (const image of whole) for (const [digest] of image.blobs) await assembly.store(digest);
    for (const image of whole) await tell(image, ports);
    await dropUnused(reader.fresh, ports);
    ports.log.info({ images: images.map(({ reference, outcome }) => `${reference} ${outcome}`) }, 'archive imported');
    return { images, newBlobs: reader.fresh.size };
  } catch (error) {
    await dropUnused(reader.fresh, ports);
    throw error;
  } finally {
    await scratch.close();
  }
}

function nameThem(images: NamedImage[], { name, defaultHost }: ImportRequest): NamedImage[] {
  if (images.length === 0) throw badArchive('the archive holds no image');
  if (name === undefined) return images;
  const reference = givenName(name, defaultHost);
  // One image under several names, as `docker save a:1 a:2` writes it, is still one.
  const roots = new Set(images.map(({ root }) => (root.kind === 'manifest' ? root.digest : JSON.stringify(root))));
  if (roots.size > 1)
    throw badArchive(`the archive holds ${roots.size} images; one name can be given to one image only`);
  return [{ ...images[0]!, reference }];
}

async function tell({ reference, root, manifests, blobs }: Assembled, { catalog, bus }: ImportPorts): Promise<void> {
  const { repository, tag } = reference;
  await forEach([...blobs], WRITES, ([digest, size]) => catalog.storeBlob(repository, digest, size));
  for (const manifest of manifests) {
    const named = manifest.digest === root ? tag : undefined;
    await catalog.storeManifest(repository, manifest, named);
    if (named) bus.signal('tag.moved', { v: EVENT_MAJOR, repository, tag: named, digest: root });
  }
}

/** Bytes that no image needs. Those that somebody else pulled meanwhile are known to the catalog and stay. */
async function dropUnused(fresh: Set<Digest>, { blobs, catalog, log }: ImportPorts): Promise<void> {
  for (const digest of fresh) {
    try {
      if ((await catalog.knowBlob(ANY, digest)).stored !== undefined) continue;
      await blobs.remove(digest);
      fresh.delete(digest);
    } catch (error) {
      log.warn({ digest, error: String(error) }, 'cannot remove what a failed import left in the blob store');
    }
  }
}
