import fc from 'fast-check';
import { SpanSet } from './span-set.js';

describe('SpanSet', () => {
  it('agrees with a plain set of bytes, whatever is added in whatever order', () => {
    const span = fc.tuple(fc.nat(40), fc.nat(12));
    fc.assert(
      fc.property(fc.array(span, { maxLength: 30 }), fc.nat(60), (spans, offset) => {
        const set = new SpanSet();
        const bytes = new Set<number>();
        for (const [start, length] of spans) {
          set.add(start, start + length);
          for (let i = start; i < start + length; i++) bytes.add(i);
        }
        let end = offset;
        while (bytes.has(end)) end++;
        expect(set.endFrom(offset)).toBe(end);
        expect(set.total).toBe(bytes.size);
        const next = set.nextStart(offset);
        const isStart = (i: number) => bytes.has(i) && !bytes.has(i - 1);
        const starts = [...bytes].filter((i) => i >= offset && isStart(i));
        expect(next).toBe(starts.length ? Math.min(...starts) : Number.POSITIVE_INFINITY);
      }),
    );
  });
});
