import type { ManifestRecord } from '#catalog';
import { etagMatches, isDigest } from '#oci';
import type { ServedHead, ServedManifest } from '#registry';
import { API_VERSION } from './json-response.js';
import { timingOf } from './observation.js';
import type { Exchange } from './pull-api.js';

/** What is said of a manifest; the first four describe a body. */
export function manifestHeaders(
  manifest: Pick<ManifestRecord, 'digest' | 'mediaType'>,
  size: number,
  reference: string,
): string[] {
  return [
    'content-type',
    manifest.mediaType,
    'content-length',
    String(size),
    'docker-content-digest',
    manifest.digest,
    'etag',
    `"${manifest.digest}"`,
    'cache-control',
    isDigest(reference) ? 'max-age=31536000, immutable' : 'no-cache',
    ...API_VERSION,
  ];
}

/** Stored bytes with their stored type, never negotiated and never a range (WIRE A39-A58). */
export function sendManifest(
  exchange: Exchange,
  reference: string,
  { manifest, warning }: ServedManifest | ServedHead,
): void {
  const { req, res, head, ns, account } = exchange;
  const bytes = 'bytes' in manifest ? manifest.bytes : undefined;
  const size = 'bytes' in manifest ? manifest.bytes.length : manifest.size;
  const headers = manifestHeaders(manifest, size, reference);
  headers.push(...timingOf(exchange));
  if (ns !== undefined) headers.push('oci-namespace', ns);
  if (warning !== undefined) headers.push('warning', `299 - "${warning}"`);
  account.digest = manifest.digest;
  const known = req.headers['if-none-match'];
  if (known !== undefined && etagMatches(known, manifest.digest)) {
    // Type and length describe a body that is not sent.
    res.writeHead(304, headers.slice(4)).end();
    return;
  }
  res.writeHead(200, headers);
  if (!head) account.bytes = size;
  res.end(head ? undefined : bytes);
}
