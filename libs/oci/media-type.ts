import { isObject, parseJsonObject } from './json.js';

export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';
export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
export const OCI_ARTIFACT_MANIFEST = 'application/vnd.oci.artifact.manifest.v1+json';
export const DOCKER_MANIFEST_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';
export const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';
export const DOCKER_SCHEMA1_SIGNED = 'application/vnd.docker.distribution.manifest.v1+prettyjws';
export const DOCKER_SCHEMA1 = 'application/vnd.docker.distribution.manifest.v1+json';
export const DOCKER_IMAGE_CONFIG = 'application/vnd.docker.container.image.v1+json';

/**
 * The Accept of every manifest request to an upstream. Always the full list: a shorter one makes some registries answer
 * 404 or a converted manifest. Schema 1 stands late; the wildcard is for types that
 * nobody has listed yet.
 */
export const MANIFEST_ACCEPT = [
  OCI_INDEX,
  DOCKER_MANIFEST_LIST,
  OCI_MANIFEST,
  DOCKER_MANIFEST,
  OCI_ARTIFACT_MANIFEST,
  DOCKER_SCHEMA1_SIGNED,
  DOCKER_SCHEMA1,
  '*/*',
].join(', ');

const INDEX_TYPES: ReadonlySet<string> = new Set([OCI_INDEX, DOCKER_MANIFEST_LIST]);
const IMAGE_TYPES: ReadonlySet<string> = new Set([OCI_MANIFEST, DOCKER_MANIFEST]);
const SCHEMA1_TYPES: ReadonlySet<string> = new Set([DOCKER_SCHEMA1_SIGNED, DOCKER_SCHEMA1]);
/** Types that say nothing; servers send them when nobody told them the type. */
const GENERIC_TYPES: ReadonlySet<string> = new Set([
  'application/json',
  'application/octet-stream',
  'binary/octet-stream',
  'text/html',
  'text/json',
  'text/plain',
]);
/** RFC 6838 4.2, two restricted names; also keeps anything else out of our own headers. */
const MEDIA_TYPE = /^[a-z0-9][a-z0-9!#$&^_.+-]{0,126}\/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}$/i;

export function stripParameters(value: string): string {
  const semicolon = value.indexOf(';');
  return (semicolon < 0 ? value : value.slice(0, semicolon)).trim();
}

export function isIndexType(mediaType: string): boolean {
  return INDEX_TYPES.has(stripParameters(mediaType).toLowerCase());
}

export function isImageType(mediaType: string): boolean {
  return IMAGE_TYPES.has(stripParameters(mediaType).toLowerCase());
}

export function isSchema1Type(mediaType: string): boolean {
  return SCHEMA1_TYPES.has(stripParameters(mediaType).toLowerCase());
}

/**
 * The media type to store a manifest with: what the upstream declared, without parameters, unless that is missing or says
 * nothing; then the JSON's own `mediaType`, then its shape. Throws Failure UPSTREAM_CONTENT when it must look and finds no
 * JSON object.
 */
export function inferManifestType(bytes: Buffer, declared?: string): string {
  const given = stripParameters(declared ?? '');
  if (MEDIA_TYPE.test(given) && !GENERIC_TYPES.has(given.toLowerCase())) return given;
  const manifest = parseJsonObject(bytes);
  const own = manifest.mediaType;
  if (typeof own === 'string' && MEDIA_TYPE.test(own) && !GENERIC_TYPES.has(own.toLowerCase())) return own;
  return typeByShape(manifest) ?? 'application/json';
}

function typeByShape(manifest: Record<string, unknown>): string | undefined {
  if (manifest.schemaVersion === 1 || Array.isArray(manifest.fsLayers))
    return Array.isArray(manifest.signatures) ? DOCKER_SCHEMA1_SIGNED : DOCKER_SCHEMA1;
  if (Array.isArray(manifest.manifests)) {
    const first: unknown = manifest.manifests[0];
    return isObject(first) && first.mediaType === DOCKER_MANIFEST ? DOCKER_MANIFEST_LIST : OCI_INDEX;
  }
  if (isObject(manifest.config))
    return manifest.config.mediaType === DOCKER_IMAGE_CONFIG ? DOCKER_MANIFEST : OCI_MANIFEST;
  if (Array.isArray(manifest.layers)) return OCI_MANIFEST;
  return Array.isArray(manifest.blobs) ? OCI_ARTIFACT_MANIFEST : undefined;
}
