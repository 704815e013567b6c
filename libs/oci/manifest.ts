import { isDigest } from './digest.js';
import { Failure } from './failure.js';
import { parseObject } from './media-type.js';
import type { Descriptor, Platform } from './types.js';

export interface Child {
  readonly descriptor: Descriptor;
  readonly kind: 'config' | 'layer' | 'manifest';
  /** Lives elsewhere (`urls`): listed, never fetched by us. */
  readonly foreign: boolean;
}

export interface ParsedManifest {
  readonly kind: 'image' | 'index' | 'schema1' | 'other';
  readonly children: readonly Child[];
  readonly subject?: Descriptor;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

/**
 * What a manifest refers to. Unknown types are read by their shape; children that are no valid descriptors are left out.
 * Throws Failure UPSTREAM_CONTENT when the bytes are no JSON object (a captive portal's page, for one).
 */
export function parseManifest(bytes: Buffer): ParsedManifest {
  const json = parseObject(bytes);
  if (!json) throw new Failure('UPSTREAM_CONTENT', 'the manifest is not a JSON object', { origin: 'upstream', retryable: false });
  const rest = common(json);
  if (json.schemaVersion === 1) return { kind: 'schema1', children: schema1(json), ...rest };
  if (Array.isArray(json.manifests)) return { kind: 'index', children: list(json.manifests, 'manifest'), ...rest };
  const layers = Array.isArray(json.layers) ? json.layers : Array.isArray(json.blobs) ? json.blobs : undefined;
  const children = [...list([json.config], 'config'), ...list(layers ?? [], 'layer')];
  return { kind: layers || children.length > 0 ? 'image' : 'other', children, ...rest };
}

function common(json: Record<string, unknown>): Pick<ParsedManifest, 'subject' | 'artifactType' | 'annotations'> {
  const subject = descriptorOf(json.subject);
  const annotations = stringsOf(json.annotations);
  return {
    ...(subject ? { subject } : {}),
    ...(typeof json.artifactType === 'string' ? { artifactType: json.artifactType } : {}),
    ...(annotations ? { annotations } : {}),
  };
}

function list(values: readonly unknown[], kind: Child['kind']): Child[] {
  return values.flatMap((value) => {
    const descriptor = descriptorOf(value);
    return descriptor ? [{ descriptor, kind, foreign: (descriptor.urls?.length ?? 0) > 0 }] : [];
  });
}

/** Schema 1 names its layers without sizes; -1 stands for unknown and is never stored as an edge size to rely on. */
function schema1(json: Record<string, unknown>): Child[] {
  const layers = Array.isArray(json.fsLayers) ? json.fsLayers : [];
  return layers.flatMap((layer: unknown): Child[] => {
    const digest = (layer as { blobSum?: unknown } | null)?.blobSum;
    if (typeof digest !== 'string' || !isDigest(digest)) return [];
    const mediaType = 'application/vnd.docker.image.rootfs.diff.tar.gzip';
    return [{ descriptor: { mediaType, digest, size: -1 }, kind: 'layer', foreign: false }];
  });
}

function descriptorOf(value: unknown): Descriptor | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { mediaType, digest, size, platform, artifactType, annotations, urls } = value as Record<string, unknown>;
  if (typeof digest !== 'string' || !isDigest(digest)) return undefined;
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) return undefined;
  const known = platformOf(platform);
  const notes = stringsOf(annotations);
  return {
    mediaType: typeof mediaType === 'string' ? mediaType : '',
    digest,
    size,
    ...(known ? { platform: known } : {}),
    ...(typeof artifactType === 'string' ? { artifactType } : {}),
    ...(notes ? { annotations: notes } : {}),
    ...(Array.isArray(urls) ? { urls: urls.filter((url): url is string => typeof url === 'string') } : {}),
  };
}

function platformOf(value: unknown): Platform | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { os, architecture, variant } = value as Record<string, unknown>;
  if (typeof os !== 'string' || typeof architecture !== 'string') return undefined;
  return { os, architecture, ...(typeof variant === 'string' ? { variant } : {}) };
}

function stringsOf(value: unknown): Record<string, string> | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return Object.fromEntries(Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
}
