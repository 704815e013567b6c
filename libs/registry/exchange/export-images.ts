import { forEach } from '#async';
import type { BlobStore } from '#blobs';
import type { Catalog, ManifestRecord } from '#catalog';
import {
  type Digest,
  Failure,
  formatPlatform,
  formatReference,
  OCI_INDEX,
  parseManifest,
  parseReference,
  type Reference,
  type Repository,
} from '#oci';
import { isChosen, type PlatformChoice } from '../platform-choice.js';
import { BUNDLE_FILE, bundleDocument } from './bundle.js';
import { readBlob } from './read-blob.js';

export interface ExportRequest {
  readonly images: readonly string[];
  /** Of an index only these; all that are cached whole by default. */
  readonly platforms?: PlatformChoice;
  /** What the other side has already. */
  readonly without?: ReadonlySet<Digest>;
  readonly defaultHost?: string;
}

interface ExportPorts {
  readonly catalog: Catalog;
  readonly blobs: BlobStore;
}

interface ExportedImage {
  readonly reference: string;
  readonly digest: Digest;
  readonly mediaType: string;
  /** Bytes of its manifest. */
  readonly size: number;
  /** Platforms that its index names and that are not in the export, since they are not cached whole. */
  readonly left: readonly string[];
}

/** What an export holds; computed first, so that what cannot be exported is told before the first byte. */
export interface ExportPlan {
  /** By reference. */
  readonly images: readonly ExportedImage[];
  readonly manifests: ReadonlyMap<Digest, Buffer>;
  /** Sizes. */
  readonly blobs: ReadonlyMap<Digest, number>;
  /** Everything that the images need, also what the other side has. */
  readonly holds: ReadonlySet<Digest>;
}

/** A member of the archive to be written. */
interface Member {
  readonly path: string;
  readonly size: number;
  readonly body: AsyncIterable<Buffer>;
}

const LOOKUPS = 16;

/**
 * Finds everything below the references in the cache; asks nobody. Throws Failure MANIFEST_UNKNOWN naming what is not
 * cached, or not whole.
 */
export async function planExport(request: ExportRequest, { catalog, blobs }: ExportPorts): Promise<ExportPlan> {
  const images = new Map<string, ExportedImage>();
  const manifests = new Map<Digest, Buffer>();
  const sizes = new Map<Digest, number>();
  const without = request.without ?? new Set<Digest>();

  /** Whether the manifest and all that it needs are cached; only then is anything of it taken. */
  const take = async (repository: Repository, record: ManifestRecord, left: string[]): Promise<boolean> => {
    const parsed = parseManifest(record.bytes, record.mediaType);
    const found = new Map<Digest, number>();
    let whole = true;
    await forEach(parsed.children, LOOKUPS, async ({ descriptor, kind, foreign }) => {
      if (kind === 'manifest' || !whole) return;
      const held = without.has(descriptor.digest)
        ? { size: descriptor.size }
        : (await catalog.findBlob(repository, descriptor.digest)) && (await blobs.stat(descriptor.digest));
      if (held) found.set(descriptor.digest, held.size);
      else if (!foreign) whole = false;
    });
    if (!whole) return false;
    const children = parsed.children.filter(({ kind }) => kind === 'manifest');
    let taken = 0;
    for (const child of children) {
      if (!isChosen(child.descriptor.platform, request.platforms)) continue;
      const { digest, platform } = child.descriptor;
      const held = await catalog.findManifest(repository, digest);
      if (held && (await take(repository, held, left))) taken++;
      else left.push(platform ? formatPlatform(platform) : digest);
    }
    if (children.length > 0 && taken === 0) return false;
    manifests.set(record.digest, record.bytes);
    for (const [digest, size] of found) sizes.set(digest, size);
    return true;
  };

  for (const text of request.images) {
    const reference = parseReference(text, request.defaultHost);
    const name = formatReference(reference);
    if (images.has(name)) continue;
    const record = await find(reference, catalog);
    if (!record) throw new Failure('MANIFEST_UNKNOWN', `${name} is not in the cache`);
    const left: string[] = [];
    if (!(await take(reference.repository, record, left)))
      throw new Failure('MANIFEST_UNKNOWN', `${name} is not in the cache as a whole; load it first`);
    const { digest, mediaType, bytes } = record;
    images.set(name, { reference: name, digest, mediaType, size: bytes.length, left });
  }
  const holds = new Set([...without, ...manifests.keys(), ...sizes.keys()]);
  // Manifests stay: they are small, and tell a reader what the bundle is of.
  for (const digest of without) sizes.delete(digest);
  return {
    images: [...images.values()].sort((a, b) => (a.reference < b.reference ? -1 : 1)),
    manifests,
    blobs: sizes,
    holds,
  };
}

/**
 * The members of the export in their order: an OCI layout whose index comes last, so that a cut one is none. Equal plans
 * give equal members.
 */
export async function* exportMembers(plan: ExportPlan, blobs: BlobStore, signal?: AbortSignal): AsyncGenerator<Member> {
  yield inMemory(BUNDLE_FILE, bundleDocument(plan.holds));
  const digests = [...plan.manifests.keys(), ...plan.blobs.keys()].sort();
  for (const digest of digests) {
    signal?.throwIfAborted();
    const path = `blobs/${digest.replace(':', '/')}`;
    const manifest = plan.manifests.get(digest);
    const size = plan.blobs.get(digest) ?? 0;
    yield manifest ? inMemory(path, manifest) : { path, size, body: readBlob(blobs, digest, size, signal) };
  }
  yield inMemory('index.json', indexDocument(plan.images));
  yield inMemory('oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}'));
}

async function find({ repository, tag, digest }: Reference, catalog: Catalog): Promise<ManifestRecord | undefined> {
  if (digest) return catalog.findManifest(repository, digest);
  return (await catalog.findTag(repository, tag ?? 'latest'))?.manifest;
}

/** image-spec image-layout.md; both names that tools look for are the full one, as `v1` alone says nothing. */
function indexDocument(images: readonly ExportedImage[]): Buffer {
  const manifests = images.map(({ reference, digest, mediaType, size }) => ({
    mediaType,
    digest,
    size,
    annotations: { 'io.containerd.image.name': reference, 'org.opencontainers.image.ref.name': reference },
  }));
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }));
}

function inMemory(path: string, bytes: Buffer): Member {
  const body = (async function* () {
    yield bytes;
  })();
  return { path, size: bytes.length, body };
}
