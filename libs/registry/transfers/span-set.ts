/** Disjoint, sorted, half-open spans of bytes that are there. Few in practice: one for each connection ever opened. */
export class SpanSet {
  /** Start, end, start, end, ... ascending; neighbours never touch. */
  private readonly edges: number[] = [];

  add(start: number, end: number): void {
    if (end <= start) return;
    const { edges } = this;
    const last = edges.length - 1;
    // Appending at the frontier is nearly every call.
    if (last > 0 && edges[last] === start) {
      edges[last] = end;
      return;
    }
    let from = 0;
    while (from < edges.length && edges[from + 1]! < start) from += 2;
    let to = from;
    let low = start;
    let high = end;
    while (to < edges.length && edges[to]! <= end) {
      low = Math.min(low, edges[to]!);
      high = Math.max(high, edges[to + 1]!);
      to += 2;
    }
    edges.splice(from, to - from, low, high);
  }

  /** The end of the contiguous bytes that start at `offset`; `offset` itself when that byte is not there. */
  endFrom(offset: number): number {
    const { edges } = this;
    for (let i = 0; i < edges.length; i += 2) {
      if (offset < edges[i]!) return offset;
      if (offset < edges[i + 1]!) return edges[i + 1]!;
    }
    return offset;
  }

  /** The start of the next span at or after `offset`, or Infinity. */
  nextStart(offset: number): number {
    for (let i = 0; i < this.edges.length; i += 2) {
      if (this.edges[i]! >= offset) return this.edges[i]!;
    }
    return Number.POSITIVE_INFINITY;
  }

  get total(): number {
    let sum = 0;
    for (let i = 0; i < this.edges.length; i += 2) sum += this.edges[i + 1]! - this.edges[i]!;
    return sum;
  }
}
