import type { Catalog, ManifestRecord, NewManifest } from '#catalog';
import {
  type Digest,
  digestOf,
  Failure,
  formatPlatform,
  formatReference,
  inferManifestType,
  type ManifestChild,
  type ParsedManifest,
  parseManifest,
  type Reference,
  type Repository,
} from '#oci';
import { manifestFacts } from '../manifest-facts.js';
import { isChosen, type PlatformChoice } from '../platform-choice.js';
import { type Aside, badArchive, type Scratch } from './archive.js';
import type { ArchiveReader } from './archive-reader.js';
import { imageOfParts } from './docker-parts.js';
import type { HeldBlobs } from './held-blobs.js';
import { givenName, heldManifest, type NamedImage } from './named-images.js';

/** An image whose parts are all at hand. */
export interface Assembled {
  readonly reference: Reference;
  readonly root: Digest;
  /** Children before those that name them. */
  readonly manifests: readonly NewManifest[];
  /** Sizes in bytes. */
  readonly blobs: ReadonlyMap<Digest, number>;
}

export interface ImportedImage {
  /** In full, or what the archive says where that is no full name. */
  readonly reference: string;
  readonly digest?: Digest;
  readonly outcome: 'loaded' | 'failed';
  readonly problem?: string;
  readonly manifests: number;
  readonly blobs: number;
  /** Of manifests and blobs. */
  readonly bytes: number;
}

interface AssemblyOptions {
  readonly platforms?: PlatformChoice;
  readonly defaultHost?: string;
}

interface Tree {
  readonly repository: Repository;
  readonly manifests: NewManifest[];
  readonly blobs: Map<Digest, number>;
}

const MAX_DEPTH = 3;
const NO_NAME = 'the archive does not tell its full name; load it by itself and say it: --resolve-ref NAME';

/** Finds the parts of an archive's images: in the archive, or here already (a delta holds only what was new). */
export class ImageAssembly {
  /** Bytes that are not in the store yet. */
  private readonly waiting = new Map<Digest, Aside>();

  constructor(
    private readonly reader: ArchiveReader,
    private readonly blobs: HeldBlobs,
    private readonly scratch: Scratch,
    private readonly catalog: Catalog,
    private readonly options: AssemblyOptions,
  ) {}

  /**
   * An image without a full name fails by itself. Rejects with a Failure when the archive is to blame: bytes are missing,
   * or not of the size that their manifest gives.
   */
  async assemble(image: NamedImage): Promise<{ shown: ImportedImage; assembled?: Assembled }> {
    const root = await this.root(image);
    const shown = { digest: root.digest, manifests: 0, blobs: 0, bytes: 0 };
    const reference = image.reference ?? (root.name ? givenName(root.name, this.options.defaultHost) : undefined);
    if (!reference)
      return { shown: { ...shown, reference: image.name || '(no name)', outcome: 'failed', problem: NO_NAME } };
    const name = formatReference(reference);
    if (reference.digest && reference.digest !== root.digest)
      throw badArchive(`the archive has ${root.digest} under the name ${name}`);
    const tree: Tree = { repository: reference.repository, manifests: [], blobs: new Map() };
    try {
      await this.manifest(root.record, tree, 1);
    } catch (error) {
      // The Go server keeps indexes of which nobody has pulled an image; they are no damage.
      if (image.root.kind !== 'held') throw error;
      return { shown: { ...shown, reference: name, outcome: 'failed', problem: Failure.of(error).message } };
    }
    const { manifests, blobs } = tree;
    const bytes = [...blobs.values(), ...manifests.map((m) => m.bytes.length)].reduce((sum, size) => sum + size, 0);
    return {
      assembled: { reference, root: root.digest, manifests, blobs },
      shown: { ...shown, reference: name, outcome: 'loaded', manifests: manifests.length, blobs: blobs.size, bytes },
    };
  }

  /** Puts the blob into the store unless it is there. */
  async store(digest: Digest): Promise<void> {
    const aside = this.waiting.get(digest) ?? this.reader.small.get(digest);
    if (aside) await this.reader.store(digest, aside);
  }

  private async root({
    root,
    reference,
  }: NamedImage): Promise<{ digest: Digest; record: ManifestRecord; name?: string }> {
    if (root.kind === 'manifest') {
      const record = await this.find(reference?.repository, root.digest, root.mediaType);
      if (!record) throw badArchive(`the manifest ${root.digest} is neither in the archive nor here`);
      return { digest: root.digest, record };
    }
    if (root.kind === 'parts') {
      const { bytes, mediaType, parts } = await imageOfParts(root, this.reader, this.scratch);
      for (const [digest, aside] of parts) this.waiting.set(digest, aside);
      const digest = digestOf(bytes);
      return { digest, record: { digest, bytes, mediaType } };
    }
    const { name, bytes } = heldManifest(await this.reader.document(root.file));
    const digest = digestOf(bytes);
    return { digest, name, record: { digest, bytes, mediaType: inferManifestType(bytes) } };
  }

  private async find(
    repository: Repository | undefined,
    digest: Digest,
    mediaType: string | undefined,
  ): Promise<ManifestRecord | undefined> {
    const aside = this.reader.small.get(digest);
    if (!aside) return (await this.held(digest)) ?? (repository && this.catalog.findManifest(repository, digest));
    const bytes = await this.reader.document(aside);
    return { digest, bytes, mediaType: inferManifestType(bytes, mediaType) };
  }

  /** In the Go server's image directory, which names manifests by digest as well. */
  private async held(digest: Digest): Promise<ManifestRecord | undefined> {
    const hex = digest.replace(/^sha256:/, '');
    const file = this.reader.files.get(`img/${hex}`) ?? this.reader.files.get(`fat/${hex}`);
    if (!file) return undefined;
    const { bytes } = heldManifest(await this.reader.document(file));
    if (digestOf(bytes) !== digest) throw badArchive(`the manifest ${digest} of the image directory has other bytes`);
    return { digest, bytes, mediaType: inferManifestType(bytes) };
  }

  private async manifest(record: ManifestRecord, tree: Tree, depth: number): Promise<void> {
    if (tree.manifests.some(({ digest }) => digest === record.digest)) return;
    const parsed = parse(record);
    const children = parsed.children.filter(({ kind }) => kind === 'manifest');
    if (children.length > 0) await this.children(record.digest, children, tree, depth);
    for (const { descriptor, kind, foreign } of parsed.children) {
      if (kind === 'manifest') continue;
      const size = await this.sizeOf(descriptor.digest);
      if (size === undefined && foreign) continue;
      if (size === undefined)
        throw badArchive(`the ${kind} ${descriptor.digest} of ${record.digest} is neither in the archive nor here`);
      if (size !== descriptor.size)
        throw badArchive(`${descriptor.digest} has ${size} bytes, and ${record.digest} says ${descriptor.size}`);
      tree.blobs.set(descriptor.digest, size);
    }
    tree.manifests.push(manifestFacts(record, parsed));
  }

  /** Archives leave platforms out; one image of an index must be there. */
  private async children(parent: Digest, children: readonly ManifestChild[], tree: Tree, depth: number): Promise<void> {
    if (depth >= MAX_DEPTH) throw badArchive(`the index ${parent} is nested too deeply`);
    const chosen = children.filter((child) => isChosen(child.descriptor.platform, this.options.platforms));
    if (chosen.length === 0) throw badArchive(`the index ${parent} has no image for the chosen platforms`);
    let found = 0;
    for (const { descriptor } of chosen) {
      const record = await this.find(tree.repository, descriptor.digest, descriptor.mediaType);
      if (!record) continue;
      const before = { manifests: tree.manifests.length, blobs: new Map(tree.blobs) };
      try {
        await this.manifest(record, tree, depth + 1);
        found++;
      } catch (error) {
        // Attestations are left without their blobs by some tools, and what is here may be here in part.
        const optional = !this.isInArchive(descriptor.digest) || descriptor.platform?.os === 'unknown';
        if (!optional) throw error;
        tree.manifests.length = before.manifests;
        for (const digest of tree.blobs.keys()) if (!before.blobs.has(digest)) tree.blobs.delete(digest);
      }
    }
    if (found === 0) {
      const platforms = chosen.flatMap(({ descriptor }) =>
        descriptor.platform ? [formatPlatform(descriptor.platform)] : [],
      );
      throw badArchive(`none of the images that the index ${parent} names is in the archive: ${platforms.join(', ')}`);
    }
  }

  private isInArchive(digest: Digest): boolean {
    return this.reader.small.has(digest) || this.reader.files.has(`img/${digest.replace(/^sha256:/, '')}`);
  }

  private async sizeOf(digest: Digest): Promise<number | undefined> {
    const aside = this.waiting.get(digest) ?? this.reader.small.get(digest);
    return aside?.size ?? this.reader.stored.get(digest) ?? (await this.blobs.hold(digest));
  }
}

function parse(record: ManifestRecord): ParsedManifest {
  try {
    return parseManifest(record.bytes, record.mediaType);
  } catch (cause) {
    throw badArchive(`the manifest ${record.digest} is no JSON object`, cause);
  }
}
