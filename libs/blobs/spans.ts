import type { Span } from './port.js';

/**
 * Which bytes of a blob are written: sorted, disjoint, never touching spans. A transfer has a handful of them (one per
 * connection), so linear scans are the fast way.
 */
export class SpanSet {
  private readonly spans: { start: number; end: number }[] = [];

  /** Every byte before this offset is in. */
  get frontier(): number {
    const first = this.spans[0];
    return first?.start === 0 ? first.end : 0;
  }

  /** End of the last span. */
  get end(): number {
    return this.spans.at(-1)?.end ?? 0;
  }

  /** How many bytes are in. */
  get total(): number {
    return this.spans.reduce((sum, { start, end }) => sum + end - start, 0);
  }

  /** How many bytes from `offset` on are in without a gap. */
  runAt(offset: number): number {
    const span = this.spans.find((s) => s.start <= offset && offset < s.end);
    return span ? span.end - offset : 0;
  }

  /** How many bytes from `offset` on are missing, at most `limit`. */
  gapAt(offset: number, limit: number): number {
    const next = this.spans.find((s) => s.end > offset);
    return next ? Math.max(0, Math.min(limit, next.start - offset)) : limit;
  }

  has({ offset, length }: Span): boolean {
    return length === 0 || this.runAt(offset) >= length;
  }

  /** Adds a span that overlaps none of those present. */
  add({ offset, length }: Span): void {
    const end = offset + length;
    let i = this.spans.findIndex((s) => s.end >= offset);
    if (i < 0) i = this.spans.length;
    const before = this.spans[i];
    if (before?.end === offset) {
      before.end = end;
      const after = this.spans[i + 1];
      if (after?.start === end) {
        before.end = after.end;
        this.spans.splice(i + 1, 1);
      }
    } else if (before?.start === end) before.start = offset;
    else this.spans.splice(i, 0, { start: offset, end });
  }
}
