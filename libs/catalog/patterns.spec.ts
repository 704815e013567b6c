import { globExpression, parsePatterns } from './patterns.js';

describe('parsePatterns', () => {
  it.each([
    ['alpine', ['alpine']],
    ['^docker.io/library, :v\\d+$ ', ['^docker.io/library', ':v\\d+$']],
    ['a{1,3},[,]b,(x|y,z)', ['a{1,3}', '[,]b', '(x|y,z)']],
    ['a\\,b,c', ['a\\,b', 'c']],
    [' , ', []],
    ['glob:docker.io/library/*:1.?', ['^docker\\.io/library/[^/]*:1\\.[^/]$']],
    ['glob:quay.io/**', ['^quay\\.io/.*$']],
  ])('%s', (text, expected) => expect(parsePatterns(text)).toEqual(expected));
});

it('a glob matches whole references only', () => {
  const matches = (glob: string, text: string) => new RegExp(globExpression(glob)).test(text);
  expect(matches('docker.io/library/*:latest', 'docker.io/library/alpine:latest')).toBe(true);
  expect(matches('docker.io/*:latest', 'docker.io/library/alpine:latest')).toBe(false);
  expect(matches('docker.io/**:latest', 'docker.io/library/alpine:latest')).toBe(true);
  expect(matches('docker.io/library/alpine', 'docker.io/library/alpine:latest')).toBe(false);
  expect(matches('a+(b)', 'a+(b)')).toBe(true);
});
