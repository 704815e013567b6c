import { checkAccess } from './access.js';

const HOST = '127.0.0.1:8081';
function verdict(call: {
  method?: string;
  address?: string;
  headers?: Record<string, string>;
  token?: string;
}): number | 'ok' {
  const { method = 'POST', address = '127.0.0.1', headers = {}, token } = call;
  try {
    checkAccess({ method, address, headers: { host: HOST, ...headers } }, token);
    return 'ok';
  } catch (error) {
    return (error as { status: number }).status;
  }
}
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

describe('access to the admin API', () => {
  it.each([
    ['a local change', {}, 'ok'],
    ['over IPv6', { address: '::1', headers: { host: '[::1]:8081' } }, 'ok'],
    ['over mapped IPv4', { address: '::ffff:127.0.0.1', headers: { host: 'localhost:8081' } }, 'ok'],
    ['from elsewhere', { address: '10.0.0.7' }, 403],
    ['from elsewhere, reading', { address: '10.0.0.7', method: 'GET', headers: { host: 'admin:8081' } }, 'ok'],
    ['through a local proxy', { headers: { 'x-forwarded-for': '10.0.0.7' } }, 403],
    ['by a rebound name', { headers: { host: 'evil.example:8081' } }, 403],
    ['by a rebound name, reading', { method: 'GET', headers: { host: 'evil.example' } }, 403],
    ["from another site's page", { headers: { origin: 'https://evil.example' } }, 403],
    ['from a page without an origin', { headers: { origin: 'null' } }, 403],
    ['from another port', { headers: { origin: 'http://127.0.0.1:3000' } }, 403],
    ['cross-site by fetch metadata', { headers: { 'sec-fetch-site': 'cross-site' } }, 403],
    ['same-site is another site', { headers: { 'sec-fetch-site': 'same-site' } }, 403],
    ['from our own page', { headers: { origin: `http://${HOST}`, 'sec-fetch-site': 'same-origin' } }, 'ok'],
  ] as const)('without a token: %s', (_, call, expected) => expect(verdict(call)).toBe(expected));

  it.each([
    ['nothing given', {}, 401],
    ['the right one', { headers: bearer('s3cret') }, 'ok'],
    ['the right one from elsewhere', { address: '10.0.0.7', headers: bearer('s3cret') }, 'ok'],
    ['the right one through a proxy', { headers: { ...bearer('s3cret'), forwarded: 'for=10.0.0.7' } }, 'ok'],
    ['a wrong one', { headers: bearer('s3cre') }, 401],
    ['a wrong one from elsewhere', { address: '10.0.0.7', headers: bearer('x') }, 401],
    ['basic', { headers: { authorization: 'Basic czNjcmV0' } }, 401],
    ['reading without it', { method: 'GET' }, 'ok'],
  ] as const)('with a token: %s', (_, call, expected) => expect(verdict({ ...call, token: 's3cret' })).toBe(expected));
});
