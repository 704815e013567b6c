import { type Descriptor, type Digest, Failure, isDigest, isObject, parseReference, type Reference } from '#oci';
import { type Aside, badArchive } from './archive.js';
import { type Contents, digestOfPath } from './archive-reader.js';

/** An image that an archive says it holds. */
export interface NamedImage {
  /** As the archive writes it; empty when it gives none. */
  readonly name: string;
  /** What it is to be called; absent when the archive (and the request) tell no full name. */
  readonly reference?: Reference;
  readonly root:
    | { readonly kind: 'manifest'; readonly digest: Digest; readonly mediaType?: string }
    /** `docker save` gives parts, the manifest has to be made. */
    | { readonly kind: 'parts'; readonly config: Aside | Digest; readonly layers: readonly (Aside | Digest)[] }
    /** The Go server keeps a manifest's bytes inside a document of its own. */
    | { readonly kind: 'held'; readonly file: Aside };
}

const REF_NAME = 'org.opencontainers.image.ref.name';
/** containerd's, and Docker's since 25: the full name, where `ref.name` is the tag. */
const IMAGE_NAME = 'io.containerd.image.name';
const GO_MANIFEST = /^(fat|img)\/(sha256:)?[0-9a-f]{64}$/;

/** The images of an archive of any of the formats. Throws Failure when it is none of them. */
export function namedImages(contents: Contents, defaultHost: string | undefined): NamedImage[] {
  const { documents, files } = contents;
  const index = documents.get('index.json');
  if (index) return ofLayout(json(index, 'index.json'), defaultHost);
  const manifest = documents.get('manifest.json');
  if (manifest) return ofDockerArchive(json(manifest, 'manifest.json'), contents, defaultHost);
  const held = [...files].filter(([path]) => GO_MANIFEST.test(path));
  if (held.length > 0) return held.map(([path, file]) => ({ name: path, root: { kind: 'held', file } }));
  throw badArchive(
    'this is no archive of images: it has neither index.json (OCI layout) nor manifest.json (docker save) at its root',
  );
}

function ofLayout(index: unknown, defaultHost: string | undefined): NamedImage[] {
  const list = isObject(index) && Array.isArray(index.manifests) ? index.manifests : undefined;
  if (!list) throw badArchive('index.json has no list of manifests');
  return list.map((entry: unknown) => {
    const { digest, mediaType, annotations } = (isObject(entry) ? entry : {}) as Partial<Descriptor>;
    if (typeof digest !== 'string' || !isDigest(digest))
      throw badArchive('index.json names a manifest without a digest');
    const name = nameOf(annotations);
    const reference = fullReference(name, defaultHost);
    return {
      name,
      ...(reference ? { reference } : {}),
      root: { kind: 'manifest', digest, ...(typeof mediaType === 'string' ? { mediaType } : {}) },
    };
  });
}

function nameOf(annotations: unknown): string {
  if (!isObject(annotations)) return '';
  const name = annotations[IMAGE_NAME] ?? annotations[REF_NAME];
  return typeof name === 'string' ? name : '';
}

function ofDockerArchive(list: unknown, contents: Contents, defaultHost: string | undefined): NamedImage[] {
  if (!Array.isArray(list)) throw badArchive('manifest.json is no list of images');
  return list.flatMap((entry: unknown) => {
    const { Config, RepoTags, Layers } = isObject(entry) ? entry : ({} as Record<string, unknown>);
    if (typeof Config !== 'string' || !Array.isArray(Layers))
      throw badArchive('manifest.json names an image without Config or Layers');
    const part = (path: unknown) => {
      const found = typeof path === 'string' ? partAt(path, contents) : undefined;
      if (!found) throw badArchive(`manifest.json names "${String(path).slice(0, 200)}", which is not in the archive`);
      return found;
    };
    const root = { kind: 'parts', config: part(Config), layers: Layers.map(part) } as const;
    const names = (Array.isArray(RepoTags) ? RepoTags : []).filter((name) => typeof name === 'string');
    if (names.length === 0) return [{ name: '', root }];
    return names.map((name: string) => {
      const reference = fullReference(name, defaultHost);
      return { name, ...(reference ? { reference } : {}), root };
    });
  });
}

function partAt(path: string, { files, small, stored }: Contents): Aside | Digest | undefined {
  const file = files.get(path);
  if (file) return file;
  const digest = digestOfPath(path);
  if (!digest) return undefined;
  return small.get(digest) ?? (stored.has(digest) ? digest : undefined);
}

/** A bare tag (`v1`, as many tools write for a layout) is no name of an image. */
function fullReference(name: string, defaultHost: string | undefined): Reference | undefined {
  if (!/[/:@]/.test(name)) return undefined;
  try {
    return parseReference(name, defaultHost);
  } catch {
    return undefined;
  }
}

/** What the Go server's document says: the manifest as the upstream sent it, and of which image. */
export function heldManifest(document: Buffer): { name: string; bytes: Buffer } {
  const held = json(document, 'a manifest of the image directory');
  const { imageUrl, bytes } = isObject(held) ? held : ({} as Record<string, unknown>);
  if (typeof imageUrl !== 'string' || typeof bytes !== 'string' || bytes === '')
    throw badArchive('a manifest of the image directory has no bytes; it is of an older version');
  return { name: imageUrl, bytes: Buffer.from(bytes, 'base64') };
}

export function json(bytes: Buffer, what: string): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw badArchive(`${what} is no JSON`, cause);
  }
}

/** The name that the request gives to an archive of one image. Throws Failure. */
export function givenName(text: string, defaultHost: string | undefined): Reference {
  try {
    return parseReference(text, defaultHost);
  } catch (error) {
    throw badArchive(`"${text.slice(0, 300)}" is no image reference: ${Failure.of(error).message}`);
  }
}
