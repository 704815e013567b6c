/** RFC 9110 14.1.2. Positions in bytes, both ends inclusive. */
export type SingleRange =
  | { readonly kind: 'from'; readonly start: number; readonly end?: number }
  | { readonly kind: 'suffix'; readonly length: number };

export type RangeSpec = SingleRange | { readonly kind: 'multi'; readonly ranges: readonly SingleRange[] };

export interface ResolvedRange {
  readonly offset: number;
  readonly length: number;
  /** The client named no end (`bytes=N-`): it may read to the end or hang up at any point. */
  readonly openEnded: boolean;
}

const RANGE = /^([0-9]*)-([0-9]*)$/;

/** Undefined means "answer 200 with the whole": absent, malformed, or another unit than bytes. */
export function parseRange(header: string | undefined): RangeSpec | undefined {
  if (header === undefined) return undefined;
  const equals = header.indexOf('=');
  if (header.slice(0, Math.max(equals, 0)).trim().toLowerCase() !== 'bytes') return undefined;
  const ranges: SingleRange[] = [];
  for (const part of header.slice(equals + 1).split(',')) {
    const text = part.trim();
    // RFC 9110 5.6.1.2: empty list elements are skipped.
    if (text === '') continue;
    const range = parseSingle(text);
    if (range === undefined) return undefined;
    ranges.push(range);
  }
  return ranges.length > 1 ? { kind: 'multi', ranges } : ranges[0];
}

function parseSingle(text: string): SingleRange | undefined {
  const match = RANGE.exec(text);
  if (match === null) return undefined;
  const [, start = '', end = ''] = match;
  if (start === '') return end === '' ? undefined : { kind: 'suffix', length: bounded(end) };
  return end === ''
    ? { kind: 'from', start: bounded(start) }
    : { kind: 'from', start: bounded(start), end: bounded(end) };
}

function bounded(digits: string): number {
  return Math.min(Number(digits), Number.MAX_SAFE_INTEGER);
}

/** The range within a body of `size` bytes; an end past the end is clamped. `500-0` counts as unsatisfiable (416). */
export function resolveRange(range: SingleRange, size: number): ResolvedRange | 'unsatisfiable' {
  if (range.kind === 'suffix') {
    const length = Math.min(range.length, size);
    return length === 0 ? 'unsatisfiable' : { offset: size - length, length, openEnded: false };
  }
  const end = Math.min(range.end ?? size - 1, size - 1);
  if (range.start > end) return 'unsatisfiable';
  return { offset: range.start, length: end - range.start + 1, openEnded: range.end === undefined };
}
