import { PassThrough, pipeline, type Readable } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { connectionFailure, upstreamFailure } from './failures.js';
import type { Answer } from './transport.js';

/** `aws-chunked` is how some object stores were written to; what they serve is plain. */
const PLAIN: ReadonlySet<string> = new Set(['', 'identity', 'aws-chunked']);

export function isEncoded(answer: Answer): boolean {
  return !PLAIN.has(encodingOf(answer));
}

function encodingOf(answer: Answer): string {
  return (answer.header('content-encoding') ?? '').trim().toLowerCase();
}

/** B32: the body without the Content-Encoding that we did not ask for. Rejects UPSTREAM_CONTENT for one that is unknown. */
export function decoded(answer: Answer): Readable {
  if (!isEncoded(answer)) return answer.body;
  const decoder = decoderFor(encodingOf(answer));
  if (!decoder) {
    answer.discard();
    throw upstreamFailure('UPSTREAM_CONTENT', 'the upstream registry used an unknown content encoding');
  }
  // Errors of either stream reach the reader through the last one.
  decoder.once('error', (cause: Error) => {
    const message = 'the upstream registry sent a broken content encoding';
    decoded.destroy(upstreamFailure('UPSTREAM_CONTENT', message, { cause }));
  });
  const decoded = new PassThrough();
  // Errors of any of them reach the reader through the last one.
  return pipeline(answer.body, decoder, decoded, () => {});
}

function decoderFor(encoding: string) {
  if (encoding === 'gzip' || encoding === 'x-gzip') return createGunzip();
  if (encoding === 'deflate') return createInflate();
  return encoding === 'br' ? createBrotliDecompress() : undefined;
}

/** Content-Length in bytes, when it says how long the content is. */
export function lengthOf(answer: Answer): number | undefined {
  const text = answer.header('content-length') ?? '';
  return !isEncoded(answer) && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

export function isHtml(answer: Answer): boolean {
  return /^text\/html\b/i.test(answer.header('content-type') ?? '');
}

/** The whole decoded body. Rejects UPSTREAM_CONTENT, closing the connection, as soon as it is longer than `most` bytes. */
export async function readBody(answer: Answer, most: number, signal?: AbortSignal): Promise<Buffer> {
  const declared = lengthOf(answer);
  const tooLong = () => upstreamFailure('UPSTREAM_CONTENT', 'the upstream registry sent a document that is too long');
  if (declared !== undefined && declared > most) {
    answer.body.destroy();
    throw tooLong();
  }
  const body = decoded(answer);
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of body) {
      chunks.push(chunk);
      length += chunk.length;
      if (length > most) throw tooLong();
    }
  } catch (error) {
    throw signal?.aborted ? signal.reason : bodyFailure(error);
  } finally {
    answer.body.destroy();
  }
  return Buffer.concat(chunks, length);
}

/**
 * The body's bytes, exactly `expected` of them when that is known. Rejects with UPSTREAM_TIMEOUT when it idles, UPSTREAM_ERROR
 * when it breaks, ends early or goes on too long, or the signal's reason. Leaving the loop closes the connection.
 */
export async function* streamBody(
  answer: Answer,
  body: Readable,
  expected: number | undefined,
  signal?: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  let received = 0;
  try {
    for await (const chunk of body) {
      received += chunk.length;
      if (expected !== undefined && received > expected) throw upstreamFailure('UPSTREAM_ERROR', TOO_LONG);
      yield chunk;
    }
    if (expected !== undefined && received < expected) throw upstreamFailure('UPSTREAM_ERROR', TOO_SHORT);
  } catch (error) {
    throw signal?.aborted ? signal.reason : bodyFailure(error);
  } finally {
    answer.body.destroy();
  }
}

const TOO_SHORT = 'the upstream registry sent less than it announced';
const TOO_LONG = 'the upstream registry sent more than it was asked for';

function bodyFailure(error: unknown) {
  const code = (error as { code?: unknown }).code;
  if (typeof code === 'string' && code.startsWith('Z_')) {
    return upstreamFailure('UPSTREAM_CONTENT', 'the upstream registry sent a broken content encoding', {
      cause: error,
    });
  }
  return connectionFailure(error);
}
