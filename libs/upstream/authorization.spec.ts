import {
  type AuthOptions,
  type BearerOptions,
  type FakeUpstream,
  startFakeUpstream,
} from '../../test/support/upstream/index.js';
import { createUpstream, type RegistryOptions } from './adapters.js';
import type { Upstream } from './port.js';

let fake: FakeUpstream;
let upstream: Upstream;
let others: FakeUpstream[] = [];
afterEach(async () => {
  await upstream.close();
  await Promise.all([fake, ...others].map((each) => each.stop()));
  others = [];
});

const BASIC = { user: 'u', password: 'p:ss' };
async function start(auth: AuthOptions, credentials?: RegistryOptions['auth']) {
  fake = await startFakeUpstream({ auth });
  upstream = createUpstream({ registries: [{ name: fake.host, scheme: 'http', auth: credentials }] });
  fake.addImage({ repository: 'a/b' });
  fake.addImage({ repository: 'c', seed: 2 });
}
const bearer = (options: Partial<BearerOptions> = {}, credentials?: RegistryOptions['auth']) =>
  start({ scheme: 'bearer', ...options }, credentials);
const get = (path = 'a/b') => upstream.getManifest({ upstream: fake.host, path }, 'latest');
const tokens = () => fake.requests.count({ path: /^\/token$/ });
const statuses = () => [...fake.requests].map(({ path, status }) => `${path.split('/').at(-2) || 'token'} ${status}`);

it('B1: asks, is challenged, gets a token, asks again; and knows better the next time', async () => {
  await bearer();
  await get();
  expect(statuses()).toEqual(['manifests 401', 'token 200', 'manifests 200']);
  fake.requests.clear();
  await get();
  expect(statuses()).toEqual(['manifests 200']);
});

it('B2: keeps tokens by scope, and does not need a second challenge of the same registry', async () => {
  await bearer();
  await get('a/b');
  fake.requests.clear();
  await get('c');
  expect(statuses()).toEqual(['token 200', 'manifests 200']);
  expect(fake.requests.filter({ path: /token/ })[0]!.query.getAll('scope')).toEqual(['repository:c:pull']);
});

it('B2: a token without a life lives 60 s, and is renewed before its end', async () => {
  await bearer({ hideExpiry: true });
  jest.useFakeTimers({
    doNotFake: [
      'nextTick',
      'setImmediate',
      'setTimeout',
      'clearTimeout',
      'queueMicrotask',
      'performance',
      'setInterval',
      'clearInterval',
    ],
  });
  try {
    const now = Date.now();
    await get();
    jest.setSystemTime(now + 50_000);
    await get();
    expect(tokens()).toBe(1);
    jest.setSystemTime(now + 56_000);
    await get();
    expect(tokens()).toBe(2);
    expect(fake.requests.count({ status: 401 })).toBe(1);
  } finally {
    jest.useRealTimers();
  }
});

it.each(['token', 'access_token'] as const)('B3: takes %s', async (field) => {
  await bearer({ field });
  await get();
  expect(tokens()).toBe(1);
});

it('B4: refreshes once a token that is refused, and gives up when that does not help', async () => {
  await bearer();
  await get();
  fake.tokens.revokeAll();
  fake.requests.clear();
  await get();
  expect(statuses()).toEqual(['manifests 401', 'token 200', 'manifests 200']);
  fake.requests.clear();
  fake.faults.add({
    path: /manifests/,
    status: 401,
    headers: { 'www-authenticate': `Bearer realm="${fake.url}/token",service="fake-registry"` },
  });
  await expect(get()).rejects.toMatchObject({ reason: 'DENIED', status: 403, origin: 'upstream' });
  expect(statuses()).toEqual(['manifests 401', 'token 200', 'manifests 401']);
});

it('B5: fetches one token for all who wait, and its failure is theirs', async () => {
  await bearer();
  let open!: () => void;
  fake.faults.add({ path: /token/, gate: new Promise<void>((resolve) => (open = resolve)) });
  const all = Promise.all(Array.from({ length: 20 }, () => get()));
  await fake.requests.until({ path: /manifests/, status: 401, count: 20, done: true });
  open();
  await all;
  expect(tokens()).toBe(1);
  fake.tokens.revokeAll();
  fake.faults.clear();
  fake.faults.add({ path: /token/, status: 503, delay: 20 });
  const results = await Promise.allSettled([get(), get(), get()]);
  expect(results.map((r) => r.status === 'rejected' && r.reason.reason)).toEqual(Array(3).fill('UPSTREAM_ERROR'));
});

it('B5: a caller that goes away does not take the token from the others', async () => {
  await bearer();
  let open!: () => void;
  fake.faults.add({ path: /token/, gate: new Promise<void>((resolve) => (open = resolve)) });
  const cancel = new AbortController();
  const first = upstream.getManifest({ upstream: fake.host, path: 'a/b' }, 'latest', { signal: cancel.signal });
  const second = get();
  await fake.requests.until({ path: /token/ });
  cancel.abort(new Error('gone'));
  await expect(first).rejects.toThrow('gone');
  open();
  await second;
  expect(tokens()).toBe(1);
});

it.each<[string, (usual: string) => string | string[]]>([
  ['in another case', (usual) => usual.replace('Bearer realm', 'bEARER REALM')],
  ['without quotes', (usual) => usual.replaceAll('"', '')],
  ['after others in one line', (usual) => `Basic realm="x, y", ${usual}`],
  ['in a second line', (usual) => ['Negotiate', usual]],
  ['with spaces', (usual) => usual.replaceAll(',', ' , ')],
  ['without a scope', (usual) => usual.replace(/,scope="[^"]*"/, '')],
])('B6: reads a challenge %s', async (_, challenge) => {
  await bearer({ challenge });
  await get();
  expect(statuses()).toEqual(['manifests 401', 'token 200', 'manifests 200']);
});

it.each([
  'http://10.0.0.1/token',
  'http://localhost:1/token',
  'http://[::1]/token',
  'http://u:p@127.0.0.1/token',
  'ftp://127.0.0.1/token',
  '/token',
])('B7: refuses the realm %s', async (realm) => {
  await bearer({ realm }, BASIC);
  const failure = await get().catch((error) => error);
  expect(failure).toMatchObject({ reason: 'UPSTREAM_ERROR', status: 502, retryable: false });
  expect(JSON.stringify(failure.toRecord())).not.toContain('token"');
  expect(fake.requests.length).toBe(1);
});

it('B7: never goes from https to a plain realm', async () => {
  fake = await startFakeUpstream({ tls: true, auth: { scheme: 'bearer' } });
  fake.auth = { scheme: 'bearer', realm: `http://${fake.host}/token` };
  fake.addImage({ repository: 'a/b' });
  upstream = createUpstream({ registries: [{ name: fake.host, tls: { ca: fake.certificates!.ca } }] });
  await expect(get()).rejects.toMatchObject({ reason: 'UPSTREAM_ERROR', retryable: false });
  expect(fake.requests.length).toBe(1);
});

it('takes a token service on another port of the same host', async () => {
  await bearer({}, BASIC);
  const service = await startFakeUpstream({ auth: { scheme: 'bearer', ...BASIC, issuer: fake.tokens } });
  others.push(service);
  fake.auth = { scheme: 'bearer', realm: `${service.url}/token` };
  await get();
  expect(service.tokens.issued).toBe(1);
});

it('B11: looks at /v2/ where the 401 has no challenge', async () => {
  await bearer({ challenge: () => undefined });
  await get();
  expect([...fake.requests].map(({ path, status }) => `${path} ${status}`)).toEqual([
    '/v2/a/b/manifests/latest 401',
    '/v2/ 401',
    '/token 200',
    '/v2/a/b/manifests/latest 200',
  ]);
});

it('B12: a rate-limited token service is 429, not 404', async () => {
  await bearer();
  fake.faults.add({ path: /token/, status: 429, headers: { 'retry-after': '9' } });
  await expect(get()).rejects.toMatchObject({ reason: 'RATE_LIMITED', status: 429, retryAfter: 9, origin: 'upstream' });
});

it.each([
  [401, 'DENIED'],
  [403, 'DENIED'],
  [400, 'DENIED'],
  [500, 'UPSTREAM_ERROR'],
])('a token service that answers %i is %s', async (status, reason) => {
  await bearer();
  fake.faults.add({ path: /token/, status });
  await expect(get()).rejects.toMatchObject({ reason, origin: 'upstream' });
});

it('bounds the bytes of the tokens that it keeps: the oldest are bought anew', async () => {
  await bearer();
  const big = (n: number) => JSON.stringify({ token: `${n}`.padEnd(14_000, 'x'), expires_in: 3600 });
  let n = 0;
  const pull = async (path: string) => {
    fake.faults.clear();
    fake.faults.add({ path: /token/, status: 200, body: big(n++) });
    fake.faults.add({ path: /manifests/, status: 404 });
    fake.requests.clear();
    await expect(get(path)).rejects.toMatchObject({ reason: 'MANIFEST_UNKNOWN' });
    return tokens();
  };
  await get();
  for (let i = 0; i < 1_200; i++) expect(await pull(`r${i}`)).toBe(1);
  expect(await pull('r1199')).toBe(0);
  expect(await pull('r0')).toBe(1);
});

it.each(['', 'not json', '{}', '[]', 'null', '{"token":""}', '{"token":5}', '{"token":"a\\nb"}'])(
  'a token service that answers %j is an upstream error',
  async (body) => {
    await bearer();
    fake.faults.add({ path: /token/, status: 200, body });
    await expect(get()).rejects.toMatchObject({ reason: 'UPSTREAM_ERROR' });
  },
);

it('bounds the token reply', async () => {
  await bearer();
  fake.faults.add({ path: /token/, status: 200, body: JSON.stringify({ token: 'x'.repeat(1_000_000) }) });
  await expect(get()).rejects.toMatchObject({ reason: 'UPSTREAM_CONTENT' });
});

it('B13: what may not be seen is DENIED', async () => {
  await bearer({ allows: (user, repository) => user === 'u' && repository === 'a/b', ...BASIC });
  await expect(get()).rejects.toMatchObject({ reason: 'DENIED', status: 403 });
  await expect(get('missing')).rejects.toMatchObject({ reason: 'DENIED' });
});

it('buys tokens with the configured credentials, and shows those to nobody else', async () => {
  await bearer({ allows: (user, repository) => user === 'u' && repository === 'a/b', ...BASIC }, BASIC);
  await get();
  const shown = [...fake.requests].map(({ path, headers }) => [
    path === '/token',
    headers.authorization?.split(' ')[0],
  ]);
  expect(shown).toEqual([
    [false, undefined],
    [true, 'Basic'],
    [false, 'Bearer'],
  ]);
  await expect(get('c')).rejects.toMatchObject({ reason: 'DENIED' });
});

it('answers Basic challenges once, and shows credentials only when asked', async () => {
  await start({ scheme: 'basic', ...BASIC }, BASIC);
  await get();
  expect(statuses()).toEqual(['manifests 401', 'manifests 200']);
  fake.requests.clear();
  await get();
  expect(statuses()).toEqual(['manifests 200']);
  fake.auth = { scheme: 'basic', user: 'u', password: 'changed' };
  fake.requests.clear();
  await expect(get()).rejects.toMatchObject({ reason: 'DENIED' });
  expect(statuses()).toEqual(['manifests 401']);
});

it('is DENIED by a Basic challenge without credentials', async () => {
  await start({ scheme: 'basic', ...BASIC });
  await expect(get()).rejects.toMatchObject({ reason: 'DENIED' });
  expect(statuses()).toEqual(['manifests 401']);
});

it('shows a static token as it is', async () => {
  await bearer({}, { token: 'static' });
  await expect(get()).rejects.toMatchObject({ reason: 'DENIED' });
  expect([...fake.requests].map(({ headers }) => headers.authorization)).toEqual(['Bearer static']);
});
