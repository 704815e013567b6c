import { isDigest } from './digest.js';
import { isObject, parseJsonObject } from './json.js';
import { isImageType, isIndexType, isSchema1Type } from './media-type.js';
import { formatPlatform } from './platform.js';
import type { Descriptor, Digest, Platform } from './types.js';

export interface ManifestChild {
  readonly descriptor: Descriptor;
  readonly kind: 'config' | 'layer' | 'manifest';
  /** Its bytes are elsewhere (`urls`): never fetched or dereferenced by us ahead of a client. */
  readonly foreign?: true;
}

/** What we need to know of a manifest; its bytes stay as they are. */
export interface ParsedManifest {
  /**
   * By what it holds, since registries mislabel; a document that could be both is read as one of them only, as its own
   * `mediaType` says, else as the registry does. A type that nobody knows is `other`.
   */
  readonly kind: 'image' | 'index' | 'schema1' | 'other';
  /** In order, without repetition. Schema 1 has none: its layers carry no size. */
  readonly children: readonly ManifestChild[];
  readonly subject?: Digest;
  /** `artifactType`, else an image's `config.mediaType` (distribution-spec "Listing referrers"). */
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

const MAX_FIELD = 255;
const UNSTORABLE = /[\0\p{Cs}]/u;

type Fields = Readonly<Record<string, unknown>>;

/**
 * Reads a manifest of any type. Children without a usable digest and size are left out. Throws Failure UPSTREAM_CONTENT
 * when the bytes are no JSON object.
 */
export function parseManifest(bytes: Buffer, mediaType: string): ParsedManifest {
  const manifest = parseJsonObject(bytes);
  const kind = kindOf(manifest, mediaType);
  const subject = isObject(manifest.subject) ? digestField(manifest.subject) : undefined;
  const artifactType = stringField(manifest.artifactType) ?? (kind === 'image' ? configType(manifest) : undefined);
  const annotations = stringMap(manifest.annotations);
  return {
    kind,
    children: kind === 'schema1' ? [] : childrenOf(manifest, kind),
    ...(subject === undefined ? {} : { subject }),
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations }),
  };
}

function kindOf(manifest: Fields, mediaType: string): ParsedManifest['kind'] {
  const declared = kindOfType(mediaType);
  if (declared === 'other') return declared;
  const image = isObject(manifest.config) || Array.isArray(manifest.layers);
  const index = Array.isArray(manifest.manifests);
  if (image !== index) return image ? 'image' : 'index';
  const own = kindOfType(stringField(manifest.mediaType) ?? '');
  return own === 'other' ? declared : own;
}

function kindOfType(mediaType: string): ParsedManifest['kind'] {
  if (isImageType(mediaType)) return 'image';
  if (isIndexType(mediaType)) return 'index';
  return isSchema1Type(mediaType) ? 'schema1' : 'other';
}

function configType(manifest: Fields): string | undefined {
  return isObject(manifest.config) ? stringField(manifest.config.mediaType) : undefined;
}

function childrenOf(manifest: Fields, kind: 'image' | 'index' | 'other'): ManifestChild[] {
  const children = new Map<string, ManifestChild>();
  const add = (value: unknown, as: ManifestChild['kind']): void => {
    const descriptor = parseDescriptor(value);
    if (descriptor === undefined) return;
    const platform = descriptor.platform === undefined ? '' : formatPlatform(descriptor.platform);
    const key = `${as} ${descriptor.digest} ${platform}`;
    if (children.has(key)) return;
    children.set(key, { descriptor, kind: as, ...(descriptor.urls === undefined ? {} : { foreign: true as const }) });
  };
  if (kind !== 'index') {
    add(manifest.config, 'config');
    for (const layer of list(manifest.layers)) add(layer, 'layer');
  }
  // The withdrawn OCI artifact manifest names its content `blobs`.
  if (kind === 'other') for (const blob of list(manifest.blobs)) add(blob, 'layer');
  if (kind !== 'image') for (const child of list(manifest.manifests)) add(child, 'manifest');
  return [...children.values()];
}

function parseDescriptor(value: unknown): Descriptor | undefined {
  if (!isObject(value)) return undefined;
  const digest = digestField(value);
  const size = value.size;
  if (digest === undefined || typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) return undefined;
  const platform = parsePlatformFields(value.platform);
  const artifactType = stringField(value.artifactType);
  const annotations = stringMap(value.annotations);
  const urls = list(value.urls).filter((url) => typeof url === 'string');
  return {
    mediaType: stringField(value.mediaType) ?? 'application/octet-stream',
    digest,
    size,
    ...(platform === undefined ? {} : { platform }),
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations }),
    ...(urls.length === 0 ? {} : { urls }),
  };
}

function parsePlatformFields(value: unknown): Platform | undefined {
  if (!isObject(value)) return undefined;
  const os = stringField(value.os);
  const architecture = stringField(value.architecture);
  if (os === undefined || architecture === undefined) return undefined;
  const variant = stringField(value.variant);
  return { os, architecture, ...(variant === undefined ? {} : { variant }) };
}

function digestField(fields: Fields): Digest | undefined {
  const { digest } = fields;
  return typeof digest === 'string' && isDigest(digest) ? digest : undefined;
}

/** Types and platform names; longer ones are no such thing and would not fit an index. */
function stringField(value: unknown): string | undefined {
  return isStorable(value) && value !== '' && value.length <= MAX_FIELD ? value : undefined;
}

/** Databases refuse NUL and lone surrogates in text; a manifest that holds them must still be served. */
function isStorable(value: unknown): value is string {
  return typeof value === 'string' && !UNSTORABLE.test(value);
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function stringMap(value: unknown): Readonly<Record<string, string>> | undefined {
  if (!isObject(value)) return undefined;
  const entries = Object.entries(value).filter(
    (entry): entry is [string, string] => isStorable(entry[0]) && isStorable(entry[1]),
  );
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}
