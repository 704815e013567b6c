import { catalogFailure } from './failures.js';

it.each([
  ['57P01', { origin: 'catalog', retryable: true }],
  ['ECONNREFUSED', { origin: 'catalog', retryable: true }],
  // What is asked again at once finds no room either, and what is there can still be read.
  ['53100', { origin: 'catalog', retryable: false }],
])('PostgreSQL that says %s is unavailable', (code, expected) => {
  const failure = catalogFailure(Object.assign(new Error('x'), { code }));
  expect(failure).toMatchObject({ reason: 'UNAVAILABLE', ...expected });
});

it('a mistake of ours stays itself', () => {
  const mistake = Object.assign(new Error('x'), { code: '42601' });
  expect(catalogFailure(mistake)).toBe(mistake);
});
