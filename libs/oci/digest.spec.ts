import fc from 'fast-check';
import { digestOf, hasherFor, isDigest, parseDigest } from './digest.js';

const hex64 = 'a'.repeat(64);
const hex128 = '0'.repeat(128);

describe('digests', () => {
  it.each([`sha256:${hex64}`, `sha512:${hex128}`])('A27 accepts %s', (text) => {
    expect(isDigest(text)).toBe(true);
    expect(parseDigest(text)).toBe(text);
  });

  it.each([
    ['upper-case hex', `sha256:${hex64.toUpperCase()}`],
    ['upper-case algorithm', `SHA256:${hex64}`],
    ['one short', `sha256:${hex64.slice(1)}`],
    ['one long', `sha256:${hex64}a`],
    ['sha512 of the length of sha256', `sha512:${hex64}`],
    ['sha256 of the length of sha512', `sha256:${hex128}`],
    ['no hex', `sha256:${'g'.repeat(64)}`],
    ['unknown algorithm', `md5:${'a'.repeat(32)}`],
    ['sha384', `sha384:${'a'.repeat(96)}`],
    ['no algorithm', hex64],
    ['a line end', `sha256:${hex64}\n`],
    ['a space before', ` sha256:${hex64}`],
    ['nothing', ''],
  ])('A27 refuses %s', (_, text) => {
    expect(isDigest(text)).toBe(false);
    expect(() => parseDigest(text)).toThrow(expect.objectContaining({ reason: 'DIGEST_INVALID', status: 400 }));
  });

  it('computes the published values', () => {
    expect(digestOf(Buffer.from('abc'))).toBe(
      'sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    );
    expect(digestOf('', 'sha512')).toBe(
      'sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e',
    );
  });

  it('A83 hashes chunks with the algorithm of the expected digest', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 50 })),
        fc.constantFrom('sha256' as const, 'sha512' as const),
        (chunks, algorithm) => {
          const whole = digestOf(Buffer.concat(chunks), algorithm);
          const hasher = hasherFor(whole);
          for (const chunk of chunks) hasher.update(Buffer.from(chunk));
          expect(hasher.digest()).toBe(whole);
          expect(isDigest(whole)).toBe(true);
        },
      ),
    );
  });
});
