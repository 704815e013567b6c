import type { Readable } from 'node:stream';
import { decoded, isEncoded, isHtml, lengthOf, streamBody } from './bodies.js';
import { statusFailure, upstreamFailure } from './failures.js';
import type { BlobBody } from './port.js';
import type { Answer } from './transport.js';

export interface AskedSpan {
  readonly offset: number;
  readonly length?: number;
}

/** B30: only where a part is wanted; `bytes=0-` makes some stores answer 400. */
export function rangeHeader(span: AskedSpan | undefined): string | undefined {
  if (!span || (span.offset === 0 && span.length === undefined)) return undefined;
  return `bytes=${span.offset}-${span.length === undefined ? '' : span.offset + span.length - 1}`;
}

/** The facts of a HEAD answer (or of a GET whose body nobody wants). Rejects as `statusFailure`. */
export function blobFacts(answer: Answer): { size?: number; ranges: boolean } {
  if (answer.status === 206) {
    const { size } = contentRange(answer) ?? {};
    return { ...(size === undefined ? {} : { size }), ranges: true };
  }
  check(answer);
  const size = lengthOf(answer);
  return { ...(size === undefined ? {} : { size }), ranges: takesRanges(answer) };
}

/**
 * A GET answer as a body. Rejects as `statusFailure`, and UPSTREAM_ERROR when the part that came is not the one asked for.
 * `asked` is undefined where no Range was sent.
 */
export function blobBody(answer: Answer, asked: AskedSpan | undefined, signal?: AbortSignal): BlobBody {
  if (answer.status === 206) return partialBody(answer, asked, signal);
  check(answer);
  const size = lengthOf(answer);
  return bodyOf(answer, decoded(answer), { offset: 0, expected: size, size, ranges: takesRanges(answer) }, signal);
}

function partialBody(answer: Answer, asked: AskedSpan | undefined, signal?: AbortSignal): BlobBody {
  const range = contentRange(answer);
  const length = range && range.last - range.first + 1;
  const declared = lengthOf(answer);
  if (
    !asked ||
    !range ||
    length === undefined ||
    range.first !== asked.offset ||
    (asked.length !== undefined && length > asked.length) ||
    (declared !== undefined && declared !== length)
  ) {
    answer.body.destroy();
    throw upstreamFailure('UPSTREAM_ERROR', 'the upstream registry sent another range than it was asked for');
  }
  return bodyOf(answer, answer.body, { offset: range.first, expected: length, size: range.size, ranges: true }, signal);
}

function bodyOf(
  answer: Answer,
  body: Readable,
  facts: { offset: number; expected?: number; size?: number; ranges: boolean },
  signal?: AbortSignal,
): BlobBody {
  const { offset, expected, size, ranges } = facts;
  const etag = answer.header('etag');
  return {
    offset,
    ...(size === undefined ? {} : { size }),
    ...(etag?.startsWith('"') && !isEncoded(answer) ? { etag } : {}),
    ranges,
    body: streamBody(answer, body, expected, signal),
    abort: () => {
      answer.body.destroy();
    },
  };
}

function check(answer: Answer): void {
  if (answer.status !== 200) {
    answer.discard();
    throw statusFailure(answer, 'BLOB_UNKNOWN');
  }
  if (isHtml(answer)) {
    answer.body.destroy();
    throw upstreamFailure('UPSTREAM_CONTENT', 'the upstream registry sent a web page instead of a blob');
  }
}

function takesRanges(answer: Answer): boolean {
  return /\bbytes\b/i.test(answer.header('accept-ranges') ?? '') && !isEncoded(answer);
}

/** RFC 9110 14.4. */
function contentRange(answer: Answer): { first: number; last: number; size?: number } | undefined {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/i.exec(answer.header('content-range')?.trim() ?? '');
  if (!match) return undefined;
  const [first, last] = [Number(match[1]), Number(match[2])];
  const size = match[3] === '*' ? undefined : Number(match[3]);
  if (last < first || (size !== undefined && last >= size)) return undefined;
  return { first, last, ...(size === undefined ? {} : { size }) };
}
