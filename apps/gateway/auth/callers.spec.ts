import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hashSync } from 'bcryptjs';
import { eventually } from '../../../test/support/eventually.js';
import { Callers } from './callers.js';
import { parseAuthorization } from './credentials.js';
import { Passwords } from './passwords.js';
import { Tokens } from './tokens.js';
import { Users } from './users.js';

const log = { debug: () => {}, info: () => {}, warn: jest.fn(), error: () => {} };
const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;
const wrong = { kind: 'unproven', message: 'wrong user or password' };
let directory: string;
let file: string;
let users: Users;
let passwords: Passwords;
let check: jest.SpyInstance;
let tokens: Tokens;
let callers: Callers;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'callers-'));
  file = join(directory, 'users');
  writeFileSync(file, `alice:${hashSync('secret', 4)}\nbob:${hashSync('pass:word', 4)}\n`);
  users = new Users(file, log, 20);
  passwords = new Passwords();
  check = jest.spyOn(passwords, 'check');
  tokens = new Tokens('k'.repeat(32), 's', 60_000, (user) => users.hashOf(user));
  callers = new Callers(users, passwords, tokens);
});
afterEach(() => {
  users.close();
  passwords.close();
  rmSync(directory, { recursive: true });
});

it('knows nobody without a header', () => {
  expect(callers.identify(undefined, 'a')).toEqual({ kind: 'nobody' });
});

it('A6: knows users by their passwords, at the price of one check', async () => {
  expect(await callers.identify(basic('alice:secret'), 'a')).toEqual({ kind: 'known', user: 'alice' });
  expect(callers.identify(basic('alice:secret'), 'a')).toEqual({ kind: 'known', user: 'alice' });
  expect(await callers.login('bob', 'pass:word', 'a')).toEqual({ kind: 'known', user: 'bob' });
  expect(check).toHaveBeenCalledTimes(2);
  await Promise.all(Array.from({ length: 20 }, () => callers.identify(basic('alice:other'), 'a')));
  expect(check).toHaveBeenCalledTimes(3);
});

it('A6: refuses what proves nothing, and takes the same time for whom it does not know', async () => {
  for (const header of ['alice:wrong', 'alice:', 'ALICE:secret'].map(basic))
    expect(await callers.identify(header, 'a')).toEqual(wrong);
  check.mockClear();
  // Whatever its hash is compared with, the password of another is no way in.
  expect(await callers.identify(basic('mallory:secret'), 'a')).toEqual(wrong);
  expect(check).toHaveBeenCalledTimes(1);
  // What was wrong is not checked again at once.
  expect(callers.identify(basic('mallory:secret'), 'a')).toEqual(wrong);
  check.mockClear();
  for (const header of [
    '',
    'Basic',
    'Basic !',
    basic(':secret'),
    basic('alice'),
    'Digest x',
    `Basic ${'A'.repeat(20_000)}`,
  ])
    expect(await callers.identify(header, 'a')).toEqual(wrong);
  expect(check).not.toHaveBeenCalled();
});

it('A16: knows tokens until they expire', async () => {
  const grant = { repositories: new Set(['a']), catalog: false };
  const { token } = await tokens.issue({ user: 'alice', grant });
  expect(await callers.identify(`Bearer ${token}`, 'a')).toEqual({ kind: 'known', user: 'alice', grant });
  expect(callers.identify(`bearer ${token}`, 'a')).toBeInstanceOf(Promise);
  expect(callers.identify(`Bearer ${token}`, 'a')).toEqual({ kind: 'known', user: 'alice', grant });
  const now = Date.now();
  const clock = jest.spyOn(Date, 'now').mockReturnValue(now + 61_000);
  // What was remembered of it is believed no longer.
  expect(callers.identify(`Bearer ${token}`, 'a')).toBeInstanceOf(Promise);
  clock.mockRestore();
  expect(await callers.identify('Bearer nonsense', 'a')).toMatchObject({ kind: 'unproven', error: 'invalid_token' });
});

it('forgets what it knew when the file changes, and keeps it when the file is bad', async () => {
  const old = basic('alice:secret');
  const { token } = await tokens.issue({ user: 'alice', grant: { repositories: new Set(), catalog: false } });
  expect(await callers.identify(old, 'a')).toMatchObject({ kind: 'known' });
  expect(await callers.identify(`Bearer ${token}`, 'a')).toMatchObject({ kind: 'known' });
  expect(await callers.identify(basic('alice:new'), 'a')).toEqual(wrong);

  writeFileSync(file, 'alice:{SHA}abc\n');
  await eventually(async () => expect(log.warn).toHaveBeenCalled());
  expect(JSON.stringify(log.warn.mock.calls)).not.toContain('{SHA}abc');
  expect(await callers.identify(old, 'a')).toMatchObject({ kind: 'known' });

  writeFileSync(file, `alice:${hashSync('new', 4)}\n`);
  await eventually(async () =>
    expect(await callers.identify(basic('alice:new'), 'a')).toMatchObject({ kind: 'known' }),
  );
  expect(await callers.identify(old, 'a')).toEqual(wrong);
  expect(await callers.identify(`Bearer ${token}`, 'a')).toMatchObject({ error: 'invalid_token' });
});

it.each([
  [basic('a:b'), { scheme: 'basic', user: 'a', password: 'b' }],
  [basic('a:'), { scheme: 'basic', user: 'a', password: '' }],
  [basic('ä:ö:ü'), { scheme: 'basic', user: 'ä', password: 'ö:ü' }],
  ['bAsIc  YTpi ', { scheme: 'basic', user: 'a', password: 'b' }],
  ['Bearer a.b.c', { scheme: 'bearer', token: 'a.b.c' }],
  ['Bearer a b', { scheme: 'other' }],
  ['Negotiate abc', { scheme: 'other' }],
])('reads %j', (header, credentials) => expect(parseAuthorization(header)).toEqual(credentials));
