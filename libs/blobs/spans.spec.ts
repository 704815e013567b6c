import fc from 'fast-check';
import { SpanSet } from './spans.js';

describe('SpanSet', () => {
  it('agrees with a bit per byte', () => {
    const spans = fc.array(fc.tuple(fc.nat(60), fc.nat(20)), { maxLength: 30 });
    fc.assert(
      fc.property(spans, (added) => {
        const set = new SpanSet();
        const bits: boolean[] = Array(90).fill(false);
        for (const [start, length] of added) {
          for (let at = start; at < start + length; ) {
            const gap = set.gapAt(at, start + length - at);
            if (gap > 0) set.add({ offset: at, length: gap });
            for (let i = 0; i < gap; i++) bits[at + i] = true;
            at += gap || set.runAt(at);
          }
        }
        const firstGap = bits.indexOf(false);
        expect(set.frontier).toBe(firstGap);
        expect(set.end).toBe(bits.lastIndexOf(true) + 1);
        for (let at = 0; at < bits.length; at++) {
          const run = bits.indexOf(false, at) - at;
          expect(set.runAt(at)).toBe(run < 0 ? bits.length - at : run);
          expect(set.has({ offset: at, length: 3 })).toBe(
            bits.slice(at, at + 3).every(Boolean) && at + 3 <= bits.length,
          );
        }
      }),
    );
  });
});
