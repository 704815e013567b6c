import { Shares } from './shares.js';

describe('Shares', () => {
  const start = (...rates: number[]) => {
    const shares = new Shares();
    const runs = rates.map((rate, i) => Object.assign(shares.add(i * 100, i * 100 + 100), { rate }));
    return { shares, runs };
  };

  it('leaves the first connection when they are too many, and gives the rest of the others away one by one', () => {
    const { shares, runs } = start(5, 8, 8);
    runs[1]!.position = 130;
    shares.parkAllButOne();
    expect(runs.map(({ parked, limit }) => [parked, limit])).toEqual([
      [undefined, 100],
      [true, 130],
      [true, 200],
    ]);
    expect(shares.unpark(250)).toEqual({ position: 200, limit: 300 });
    expect(shares.unpark(250)).toBeUndefined();
    expect(shares.unpark()).toEqual({ position: 130, limit: 200 });
    expect(shares.unpark()).toBeUndefined();
  });

  it('leaves another one when the first stands still', () => {
    const { shares, runs } = start(1, 8);
    shares.parkAllButOne();
    expect(runs.map(({ parked }) => parked)).toEqual([true, undefined]);
    expect(shares.unpark()).toEqual({ position: 0, limit: 100 });
  });

  it('knows who brings a byte, who comes before whom, and who has most to bring', () => {
    const { shares, runs } = start(0, 0, 0);
    runs[2]!.limit = 1000;
    expect(shares.ownerOf(150)).toBe(runs[1]);
    expect(shares.ownerOf(1000)).toBeUndefined();
    expect(shares.before(runs[1]!)).toBe(runs[0]);
    expect(shares.widest()).toBe(runs[2]);
  });
});
