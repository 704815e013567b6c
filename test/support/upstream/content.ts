import { type BlobSource, bytesOf, bytesSource, type GeneratedBlob, generatedSource } from './blobs.js';
import {
  type ImageOptions,
  type MadeImage,
  type MadeIndex,
  type MadeManifest,
  makeImage,
  makeIndex,
} from './images.js';

export interface AddImageOptions extends ImageOptions {
  readonly repository: string;
  /** Default latest. */
  readonly tag?: string;
  /** With several platforms (or one, and `index: true`) the tag names an index. Default one image, linux/amd64. */
  readonly platforms?: readonly string[];
  readonly index?: boolean;
}

export interface AddedImage {
  /** What the tag names: index or image. */
  readonly root: MadeManifest;
  readonly index?: MadeIndex;
  readonly images: readonly MadeImage[];
}

interface Repository {
  readonly manifests: Map<string, { mediaType: string; bytes: Buffer }>;
  readonly tags: Map<string, string>;
  readonly blobs: Map<string, BlobSource>;
}

/** What a fake upstream holds, by repository. May be shared by several of them. */
export class Content {
  private readonly repositories = new Map<string, Repository>();
  /** For `/storage/<digest>`, the object store behind redirects. */
  private readonly storage = new Map<string, BlobSource>();

  addImage(options: AddImageOptions): AddedImage {
    const { repository, tag = 'latest', platforms = [options.platform ?? 'linux/amd64'] } = options;
    const index = platforms.length > 1 || options.index ? makeIndex({ ...options, platforms }) : undefined;
    const images = index?.images ?? [makeImage({ ...options, platform: platforms[0] })];
    for (const image of images) {
      this.addBlob(repository, image.config);
      for (const layer of image.layers) this.addBlob(repository, layer);
      this.addManifest(repository, image);
    }
    const root = index ?? (images[0] as MadeImage);
    this.addManifest(repository, root, tag);
    return { root, ...(index ? { index } : {}), images };
  }

  /** Bytes, a source, or `{ size, seed }` to be generated. */
  addBlob(repository: string, blob: Buffer | BlobSource | GeneratedBlob): BlobSource {
    const source = Buffer.isBuffer(blob) ? bytesSource(blob) : 'chunks' in blob ? blob : generatedSource(blob);
    this.at(repository).blobs.set(source.digest, source);
    this.storage.set(source.digest, source);
    return source;
  }

  addManifest(repository: string, manifest: { mediaType: string; digest: string; bytes: Buffer }, tag?: string): void {
    this.at(repository).manifests.set(manifest.digest, { mediaType: manifest.mediaType, bytes: manifest.bytes });
    if (tag !== undefined) this.tag(repository, tag, manifest.digest);
  }

  tag(repository: string, tag: string, digest: string): void {
    this.at(repository).tags.set(tag, digest);
  }

  removeTag(repository: string, tag: string): void {
    this.at(repository).tags.delete(tag);
  }

  removeBlob(repository: string, digest: string): void {
    this.at(repository).blobs.delete(digest);
    this.storage.delete(digest);
  }

  removeRepository(repository: string): void {
    this.repositories.delete(repository);
  }

  has(repository: string): boolean {
    return this.repositories.has(repository);
  }

  manifest(repository: string, reference: string): { digest: string; mediaType: string; bytes: Buffer } | undefined {
    const held = this.repositories.get(repository);
    const digest = reference.includes(':') ? reference : held?.tags.get(reference);
    const found = digest === undefined ? undefined : held?.manifests.get(digest);
    return digest !== undefined && found ? { digest, ...found } : undefined;
  }

  blob(repository: string, digest: string): BlobSource | undefined {
    return this.repositories.get(repository)?.blobs.get(digest);
  }

  stored(digest: string): BlobSource | undefined {
    return this.storage.get(digest);
  }

  tags(repository: string): string[] {
    return [...(this.repositories.get(repository)?.tags.keys() ?? [])].sort();
  }

  /** Descriptors of the manifests whose `subject` is `digest` (distribution-spec "Listing Referrers"). */
  referrers(repository: string, digest: string): object[] {
    const found: object[] = [];
    for (const [own, { mediaType, bytes }] of this.repositories.get(repository)?.manifests ?? []) {
      const document = JSON.parse(bytes.toString());
      if (document.subject?.digest !== digest) continue;
      const artifactType = document.artifactType ?? document.config?.mediaType;
      found.push({ mediaType, digest: own, size: bytes.length, artifactType, annotations: document.annotations });
    }
    return found;
  }

  /** A small blob's bytes, for comparing. */
  bytes(digest: string): Buffer {
    const source = this.storage.get(digest);
    if (!source) throw new Error(`no such blob: ${digest}`);
    return bytesOf(source);
  }

  private at(name: string): Repository {
    let held = this.repositories.get(name);
    if (!held) {
      held = { manifests: new Map(), tags: new Map(), blobs: new Map() };
      this.repositories.set(name, held);
    }
    return held;
  }
}
