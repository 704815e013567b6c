import { forEach } from '#async';
import type { BlobStore } from '#blobs';
import { type Bus, EVENT_MAJOR } from '#bus';
import type { Catalog } from '#catalog';
import type { PlatformChoice } from '../platform-choice.js';
import type { Log } from '../ports.js';
import { type Archive, badArchive, type Scratch } from './archive.js';
import { ArchiveReader } from './archive-reader.js';
import { HeldBlobs } from './held-blobs.js';
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
  const held = new HeldBlobs(ports);
  const reader = new ArchiveReader(ports.blobs, held, scratch);
  let ended: readonly ImportedImage[] | undefined;
  try {
    await reader.read(archive, request.signal);
    const named = nameThem(namedImages(reader, request.defaultHost), request);
    const assembly = new ImageAssembly(reader, held, scratch, ports.catalog, request);
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
    ended = images;
  } finally {
    await scratch.close();
    for (const digest of await held.release()) reader.fresh.delete(digest);
  }
  ports.log.info({ images: ended.map(({ reference, outcome }) => `${reference} ${outcome}`) }, 'archive imported');
  return { images: ended, newBlobs: reader.fresh.size };
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
  const tellBlobs = () => forEach([...blobs], WRITES, ([digest, size]) => catalog.storeBlob(repository, digest, size));
  await tellBlobs();
  for (const manifest of manifests) {
    const named = manifest.digest === root ? tag : undefined;
    await catalog.storeManifest(repository, manifest, named);
    if (named) bus.signal('tag.moved', { v: EVENT_MAJOR, repository, tag: named, digest: root });
  }
  // A prune of the repository's older images may have taken some of them, which no manifest named yet.
  await tellBlobs();
}
