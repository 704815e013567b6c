import type { ServerResponse } from 'node:http';
import { constants, Http2ServerResponse } from 'node:http2';
import { FAILURES, type Failure } from '#oci';
import { sendJson } from './json-response.js';
import type { Exchange } from './pull-api.js';
import type { components } from './registry-api.js';

/** Seconds that a client is told to wait when nobody knows better. */
const RETRY_AFTER = 5;

/** The OCI error body (distribution-spec "Error Codes"); once a body has begun, only ever a reset. */
export function sendFailure(exchange: Exchange, failure: Failure): void {
  const { res } = exchange;
  if (res.headersSent) {
    cut(res);
    return;
  }
  const { code, status, message } = FAILURES[failure.reason];
  const detail = failure.message === message ? null : { reason: failure.message };
  const body: components['schemas']['Errors'] = { errors: [{ code, message, detail }] };
  const wait = failure.retryAfter ?? (status === 503 || status === 429 ? RETRY_AFTER : undefined);
  const extra = wait === undefined ? [] : ['retry-after', String(Math.max(1, Math.ceil(wait)))];
  sendJson(exchange, status, JSON.stringify(body), extra);
}

/** Ends an answer so that nobody takes it for a complete one; other answers of an HTTP/2 connection go on. */
function cut(res: ServerResponse): void {
  if ((res as object) instanceof Http2ServerResponse)
    (res as unknown as Http2ServerResponse).stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  else res.socket?.resetAndDestroy();
}
