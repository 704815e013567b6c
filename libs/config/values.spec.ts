import { parseDuration, parseSize } from './values.js';

const day = 86_400_000;

describe('parseDuration', () => {
  it.each([
    ['30s', 30_000],
    ['15m', 900_000],
    ['24h', day],
    ['30d', 30 * day],
    ['1h30m', 5_400_000],
    ['1.5h', 5_400_000],
    ['250ms', 250],
    ['1500us', 2],
    ['1µs', 1],
    ['1ns', 1],
    ['0', 0],
    ['0s', 0],
    [' 5s ', 5_000],
  ])('%s is %d ms', (text, ms) => expect(parseDuration(text)).toBe(ms));

  it.each(['', '5', '-5s', '5 s', '5w', '5sec', 's', '1h-30m', '1e3s', 'Infinity', '99999999d', '1.s'])(
    'refuses %j',
    (text) => expect(parseDuration(text)).toBeUndefined(),
  );

  it('takes a bare number as milliseconds where the Go server does', () =>
    expect(parseDuration('60000', 'ms')).toBe(60_000));
});

describe('parseSize', () => {
  it.each([
    ['1', 1],
    ['500MB', 500_000_000],
    ['500mb', 500_000_000],
    ['10GiB', 10 * 2 ** 30],
    ['10Gi', 10 * 2 ** 30],
    ['10G', 10 * 2 ** 30],
    ['1.5KiB', 1536],
    ['2 TB', 2e12],
  ])('%s is %d bytes', (text, bytes) => expect(parseSize(text)).toBe(bytes));

  it.each(['', 'MB', '-1', '1PB', '1 M B', '80%', '1e9', '99999999999TB'])('refuses %j', (text) =>
    expect(parseSize(text)).toBeUndefined(),
  );
});
