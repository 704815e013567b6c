import { Turns } from './turns.js';

const all = () => true;

describe('Turns', () => {
  it('lets names take turns, each in its own order', () => {
    const turns = new Turns<string>();
    for (const item of ['a1', 'a2', 'a3', 'b1', 'c1', 'c2']) turns.push(item.slice(0, 1), item);
    const order = Array.from({ length: 7 }, () => turns.shift(all));
    expect(order).toEqual(['a1', 'b1', 'c1', 'a2', 'c2', 'a3', undefined]);
  });

  it('passes over those that may have none, which keep their turn', () => {
    const turns = new Turns<string>();
    for (const item of ['a1', 'b1', 'b2']) turns.push(item.slice(0, 1), item);
    const notA = (name: string) => name !== 'a';
    expect([turns.shift(notA), turns.shift(notA), turns.shift(notA), turns.shift(all)]).toEqual([
      'b1',
      'b2',
      undefined,
      'a1',
    ]);
  });

  it('takes thousands', () => {
    const turns = new Turns<number>();
    for (let n = 0; n < 5_000; n++) turns.push('a', n);
    for (let n = 0; n < 5_000; n++) expect(turns.shift(all)).toBe(n);
    expect(turns.shift(all)).toBeUndefined();
  });
});
