import fc from 'fast-check';
import { parseRange, resolveRange, type SingleRange } from './range.js';

function resolve(header: string, size: number) {
  const spec = parseRange(header);
  if (spec === undefined || spec.kind === 'multi') return spec;
  return resolveRange(spec, size);
}

describe('single ranges', () => {
  it.each([
    ['A66', 'bytes=500-1499', 2000, { offset: 500, length: 1000, openEnded: false }],
    ['A67', 'bytes=500-', 2000, { offset: 500, length: 1500, openEnded: true }],
    ['A67', 'bytes=-500', 2000, { offset: 1500, length: 500, openEnded: false }],
    ['A68', 'bytes=500-9999', 2000, { offset: 500, length: 1500, openEnded: false }],
    ['A68', 'bytes=-9999', 2000, { offset: 0, length: 2000, openEnded: false }],
    ['A68', `bytes=0-${'9'.repeat(40)}`, 2000, { offset: 0, length: 2000, openEnded: false }],
    ['A69', 'bytes=2000-', 2000, 'unsatisfiable'],
    ['A69', 'bytes=2000-2001', 2000, 'unsatisfiable'],
    ['A69', `bytes=${'9'.repeat(40)}-`, 2000, 'unsatisfiable'],
    ['A69', 'bytes=500-0', 2000, 'unsatisfiable'],
    ['A69', 'bytes=-0', 2000, 'unsatisfiable'],
    ['A69', 'bytes=0-', 0, 'unsatisfiable'],
    ['A71', 'bytes=0-', 2000, { offset: 0, length: 2000, openEnded: true }],
    ['A71', 'bytes=1999-', 2000, { offset: 1999, length: 1, openEnded: true }],
    ['A79', 'bytes=0-1', 2000, { offset: 0, length: 2, openEnded: false }],
    ['A79', 'bytes=0-0', 2000, { offset: 0, length: 1, openEnded: false }],
    ['RFC 9110 14.1 units ignore case', 'Bytes=0-0', 1, { offset: 0, length: 1, openEnded: false }],
    ['RFC 9110 5.6.1 white space and empty elements', 'bytes= , 1-2 ,', 9, { offset: 1, length: 2, openEnded: false }],
  ])('%s: %s of %d', (_, header, size, want) => expect(resolve(header, size)).toEqual(want));

  it.each([
    undefined,
    '',
    'bytes',
    'bytes=',
    'bytes=-',
    'bytes=a-b',
    'bytes=1',
    'bytes=1-2-3',
    'bytes=--1',
    'bytes=+1-2',
    'bytes=1.5-2',
    'bytes=0x1-2',
    'bytes=1 - 2',
    'bytes 0-1',
    '=0-1',
    'items=0-1',
    'bytes=0-1,x',
    'bytes=0-1;2-3',
    'bytes==0-1',
    'bytes=٣-٤',
  ])('A74 ignores %j', (header) => expect(parseRange(header)).toBeUndefined());

  it('A66 to A71: lies within the body and holds what was asked', () => {
    fc.assert(
      fc.property(fc.nat(5000), fc.nat(5000), fc.option(fc.nat(5000), { nil: undefined }), (size, start, end) => {
        const resolved = resolve(`bytes=${start}-${end ?? ''}`, size);
        const asked = [...Array(size).keys()].filter((at) => at >= start && at <= (end ?? at));
        if (asked.length === 0) expect(resolved).toBe('unsatisfiable');
        else expect(resolved).toEqual({ offset: start, length: asked.length, openEnded: end === undefined });
      }),
    );
  });
});

describe('several ranges', () => {
  it('A75 lists them', () => {
    expect(parseRange('bytes=0-1, 5-, -3')).toEqual({
      kind: 'multi',
      ranges: [
        { kind: 'from', start: 0, end: 1 },
        { kind: 'from', start: 5 },
        { kind: 'suffix', length: 3 },
      ],
    });
  });

  it('A76 reads 1,024 of them', () => {
    const header = `bytes=${Array.from({ length: 1024 }, (_, i) => `${i * 1_000_000}-${i * 1_000_000 + 9}`).join(',')}`;
    expect(parseRange(header)).toMatchObject({ kind: 'multi', ranges: { length: 1024 } });
  });

  it('reads back what it writes', () => {
    const single: fc.Arbitrary<SingleRange> = fc.oneof(
      fc.record({ kind: fc.constant('suffix' as const), length: fc.maxSafeNat() }),
      fc.record(
        { kind: fc.constant('from' as const), start: fc.maxSafeNat(), end: fc.maxSafeNat() },
        { requiredKeys: ['kind', 'start'] },
      ),
    );
    const format = (range: SingleRange) =>
      range.kind === 'suffix' ? `-${range.length}` : `${range.start}-${range.end ?? ''}`;
    fc.assert(
      fc.property(fc.array(single, { minLength: 1 }), (ranges) => {
        const spec = parseRange(`bytes=${ranges.map(format).join(',')}`);
        expect(spec).toEqual(ranges.length === 1 ? ranges[0] : { kind: 'multi', ranges });
      }),
    );
  });

  it('never throws', () => {
    const noise = fc
      .array(fc.constantFrom('bytes', '=', '-', ',', ' ', '0', '99', 'x', '\t'))
      .map((parts) => parts.join(''));
    fc.assert(fc.property(fc.oneof(fc.string(), noise), (text) => void parseRange(text)));
    for (const unit of ['0', '-', ',', ' ', '0-', '0-0,']) parseRange(`bytes=${unit.repeat(100_000)}!`);
  });
});
