import {
  type Digest,
  digestOf,
  inferManifestType,
  isDigest,
  isIndexType,
  MANIFEST_ACCEPT,
  stripParameters,
} from '#oci';
import { isEncoded, lengthOf, readBody } from './bodies.js';
import { statusFailure, upstreamFailure } from './failures.js';
import type { FetchedManifest } from './port.js';
import type { Answer } from './transport.js';

/** distribution-spec "Pushing Manifests": registries may refuse more than 4 MiB. Bytes. */
const MAX_MANIFEST = 4 * 1024 * 1024;

export const MANIFEST_HEADERS = { accept: MANIFEST_ACCEPT };

/** The facts of a HEAD answer, or undefined where only a GET can tell (B27, B28, B31). Rejects as `statusFailure`. */
export function headOf(
  answer: Answer,
  reference: string,
): { digest: Digest; mediaType: string; size?: number } | undefined {
  if (answer.status === 405 || answer.status === 501 || answer.status === 400) return undefined;
  if (answer.status !== 200) throw statusFailure(answer, 'MANIFEST_UNKNOWN');
  const mediaType = stripParameters(answer.header('content-type') ?? '');
  const named = answer.header('docker-content-digest') ?? '';
  // B39: bytes are what counts, and by digest there can be only one answer.
  const digest = isDigest(reference) ? reference : named;
  if (!isDigest(digest) || (isDigest(reference) && named !== '' && named !== reference)) return undefined;
  if (!isManifestType(mediaType)) return undefined;
  const size = isEncoded(answer) ? undefined : lengthOf(answer);
  // The GET is refused; HEAD says no other.
  if (size !== undefined && size > MAX_MANIFEST) return undefined;
  return { digest, mediaType, ...(size ? { size } : {}) };
}

function isManifestType(mediaType: string): boolean {
  return isIndexType(mediaType) || /^application\/vnd\./i.test(mediaType);
}

/** The manifest of a GET answer. Rejects as `statusFailure`, and UPSTREAM_CONTENT for anything that is not the manifest asked for. */
export async function manifestOf(answer: Answer, reference: string, signal?: AbortSignal): Promise<FetchedManifest> {
  if (answer.status !== 200) {
    answer.discard();
    throw statusFailure(answer, 'MANIFEST_UNKNOWN');
  }
  const bytes = await readBody(answer, MAX_MANIFEST, signal);
  const digest = digestBy(bytes, isDigest(reference) ? reference : answer.header('docker-content-digest'));
  if (isDigest(reference) && digest !== reference) {
    throw upstreamFailure('UPSTREAM_CONTENT', 'the upstream registry sent a manifest with another digest');
  }
  // A captive portal's page, or nothing at all, is refused whatever type it claims (B40, C6).
  inferManifestType(bytes);
  return { digest, mediaType: inferManifestType(bytes, answer.header('content-type')), bytes };
}

/** By the algorithm that the upstream names the manifest with; its value is computed (B39). */
function digestBy(bytes: Buffer, named: string | undefined): Digest {
  return digestOf(bytes, named !== undefined && isDigest(named) && named.startsWith('sha512:') ? 'sha512' : 'sha256');
}
