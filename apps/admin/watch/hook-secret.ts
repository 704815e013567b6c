import { createHmac } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { sameSecret } from '../api/access.js';
import { Refusal } from '../api/problem.js';
import type { HookSource } from './payloads.js';

/** What tells who has sent a webhook. */
export interface HookProof {
  readonly headers: IncomingHttpHeaders;
  /** The body as it was sent. */
  readonly raw: Buffer;
  /** `?token=` or `?access_token=`, for those who can set no header. */
  readonly token?: string;
}

/**
 * How each source proves that it knows the secret; the admin token is as good everywhere.
 *
 * | source                  | proof                                                                              |
 * |-------------------------|------------------------------------------------------------------------------------|
 * | github                  | `X-Hub-Signature-256`: HMAC-SHA256 of the body                                     |
 * | harbor, cloudevents     | `Authorization: SECRET` or `Bearer SECRET` (Harbor's "auth header"), or in the URL |
 * | docker, quay            | in the URL: they can set no header                                                 |
 *
 * Throws `Refusal` 401.
 */
export function checkHookSecret(source: HookSource, proof: HookProof, secret: string, adminToken?: string): void {
  const { headers, raw, token } = proof;
  const given = /^(?:Bearer +)?(\S+) *$/i.exec(headers.authorization ?? '')?.[1];
  if (adminToken !== undefined && given !== undefined && sameSecret(given, adminToken)) return;
  if (source === 'github') {
    const signature = headers['x-hub-signature-256'];
    const expected = `sha256=${createHmac('sha256', secret).update(raw).digest('hex')}`;
    if (typeof signature === 'string' && sameSecret(signature, expected)) return;
  } else if ([given, token].some((text) => text !== undefined && sameSecret(text, secret))) return;
  throw new Refusal(401, `this needs the secret of hooks.${source}`);
}
