import type { Exchange } from './pull-api.js';

export const API_VERSION = ['docker-distribution-api-version', 'registry/2.0'] as const;

/** A short JSON answer of our own; never stored content. */
export function sendJson(
  { res, head, ns }: Exchange,
  status: number,
  body: string,
  extra: readonly string[] = [],
  type = 'application/json',
): void {
  const headers = ['content-type', type, 'content-length', String(Buffer.byteLength(body)), ...API_VERSION, ...extra];
  if (ns !== undefined) headers.push('oci-namespace', ns);
  // Headers set before writeHead would be lost with a raw list.
  for (const [name, value] of Object.entries(res.getHeaders())) headers.push(name, String(value));
  res.writeHead(status, headers);
  res.end(head ? undefined : body);
}
