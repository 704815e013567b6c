/** One range of RFC 9110 section 14.1.2, before the size is known. `end` is inclusive. */
export type RangeSpec =
  | { readonly kind: 'from'; readonly start: number; readonly end?: number }
  | { readonly kind: 'suffix'; readonly length: number }
  | { readonly kind: 'multi' };

export interface ResolvedRange {
  readonly offset: number;
  readonly length: number;
  /** The client named both ends. */
  readonly bounded: boolean;
}

/** Undefined when the header is to be ignored: absent, malformed or of another unit (RFC 9110 section 14.2). */
export function parseRange(header: string | undefined): RangeSpec | undefined {
  if (header === undefined || !/^bytes=/i.test(header)) return undefined;
  const spec = header.slice(6);
  if (spec.includes(',')) return /^[0-9,\s-]+$/.test(spec) ? { kind: 'multi' } : undefined;
  const match = /^\s*([0-9]{0,15})-([0-9]{0,15})\s*$/.exec(spec);
  if (!match || (match[1] === '' && match[2] === '')) return undefined;
  if (match[1] === '') return { kind: 'suffix', length: Number(match[2]) };
  const start = Number(match[1]);
  return match[2] === '' ? { kind: 'from', start } : { kind: 'from', start, end: Number(match[2]) };
}

/** Clamps to a body of `size` bytes. */
export function resolveRange(spec: Exclude<RangeSpec, { kind: 'multi' }>, size: number): ResolvedRange | 'unsatisfiable' {
  if (spec.kind === 'suffix') {
    const length = Math.min(spec.length, size);
    return length === 0 ? 'unsatisfiable' : { offset: size - length, length, bounded: false };
  }
  const { start, end } = spec;
  if (start >= size || (end !== undefined && end < start)) return 'unsatisfiable';
  const stop = end === undefined ? size : Math.min(end + 1, size);
  return { offset: start, length: stop - start, bounded: end !== undefined };
}
