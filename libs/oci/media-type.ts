export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';
export const OCI_ARTIFACT = 'application/vnd.oci.artifact.manifest.v1+json';
export const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';
export const DOCKER_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';
export const DOCKER_SCHEMA1 = 'application/vnd.docker.distribution.manifest.v1+json';
export const DOCKER_SCHEMA1_SIGNED = 'application/vnd.docker.distribution.manifest.v1+prettyjws';

/** What we ask an upstream for, always all of it: never a conversion for one client's Accept. */
export const MANIFEST_ACCEPT = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST, OCI_ARTIFACT, DOCKER_SCHEMA1_SIGNED, '*/*'].join(', ');

const MANIFEST_TYPES = new Set([OCI_MANIFEST, OCI_INDEX, OCI_ARTIFACT, DOCKER_MANIFEST, DOCKER_LIST, DOCKER_SCHEMA1, DOCKER_SCHEMA1_SIGNED]);

export function isIndexType(mediaType: string): boolean {
  return mediaType === OCI_INDEX || mediaType === DOCKER_LIST;
}

export function stripParameters(contentType: string): string {
  return contentType.split(';', 1)[0]!.trim();
}

/** The manifest's type: as declared if that is a manifest type, else its own `mediaType`, else its shape. Undefined when it is none. */
export function inferManifestType(bytes: Buffer, declared?: string): string | undefined {
  const type = declared === undefined ? '' : stripParameters(declared);
  if (MANIFEST_TYPES.has(type)) return type;
  const json = parseObject(bytes);
  if (!json) return undefined;
  if (typeof json.mediaType === 'string' && /^[\w.+-]+\/[\w.+-]+$/.test(json.mediaType)) return json.mediaType;
  if (json.schemaVersion === 1) return 'signatures' in json ? DOCKER_SCHEMA1_SIGNED : DOCKER_SCHEMA1;
  if (Array.isArray(json.manifests)) return OCI_INDEX;
  if (Array.isArray(json.layers) || typeof json.config === 'object') return OCI_MANIFEST;
  const vague = type === '' || type === 'text/plain' || type === 'application/json' || type === 'application/octet-stream';
  return vague ? undefined : type;
}

export function parseObject(bytes: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
