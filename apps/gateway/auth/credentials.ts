/** What a client says of itself. */
export type Credentials =
  | { readonly scheme: 'basic'; readonly user: string; readonly password: string }
  | { readonly scheme: 'bearer'; readonly token: string }
  /** Nothing that we understand. */
  | { readonly scheme: 'other' };

/** Characters. Longer ones are none of ours: a token has less than 8 KiB (WIRE A14). */
const LONGEST = 12 * 1024;

/** An `Authorization` header (RFC 7617, RFC 6750). */
export function parseAuthorization(header: string): Credentials {
  const [, scheme = '', value = ''] = /^([A-Za-z]+) +([A-Za-z0-9._~+/=-]+) *$/.exec(header.slice(0, LONGEST)) ?? [];
  if (header.length > LONGEST) return { scheme: 'other' };
  if (scheme.toLowerCase() === 'bearer') return { scheme: 'bearer', token: value };
  if (scheme.toLowerCase() !== 'basic') return { scheme: 'other' };
  const text = Buffer.from(value, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon <= 0
    ? { scheme: 'other' }
    : { scheme: 'basic', user: text.slice(0, colon), password: text.slice(colon + 1) };
}
