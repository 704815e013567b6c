import { hashSync } from 'bcryptjs';
import { Failure } from '#oci';
import { Passwords } from './passwords.js';

const hash = hashSync('right', 4);
let passwords: Passwords;
beforeEach(() => {
  passwords = new Passwords();
});
afterEach(() => passwords.close());

it('tells a right password from a wrong one, for every kind of bcrypt', async () => {
  for (const kind of ['$2a$', '$2b$', '$2y$']) {
    const same = hash.replace('$2b$', kind);
    expect(await passwords.check('right', same, 'a')).toBe(true);
    expect(await passwords.check('wrong', same, 'a')).toBe(false);
  }
  expect(await passwords.check('ünïcode', hashSync('ünïcode', 4), 'a')).toBe(true);
});

it('takes addresses in turns', async () => {
  const order: string[] = [];
  const ask = (address: string) => passwords.check('right', hash, address).then(() => order.push(address));
  await Promise.all([ask('a'), ask('a'), ask('a'), ask('b'), ask('b')]);
  expect(order.join('')).toBe('aabab');
});

it('refuses what is too much of one address, and serves others', async () => {
  const flood = Array.from({ length: 60 }, () =>
    passwords.check('right', hash, 'flood').catch((error: unknown) => error),
  );
  const other = passwords.check('right', hash, 'other');
  const answers = await Promise.all(flood);
  const refused = answers.filter((answer) => answer instanceof Failure && answer.reason === 'TOO_MANY_LOGINS');
  // One runs, 32 wait.
  expect(refused).toHaveLength(60 - 33);
  expect(answers.filter((answer) => answer === true)).toHaveLength(33);
  expect(await other).toBe(true);
});

it('goes on after a hash that is none', async () => {
  await passwords.check('x', 'no hash at all', 'a').catch(() => {});
  expect(await passwords.check('right', hash, 'a')).toBe(true);
});

it('refuses who still waits when it is closed', async () => {
  const waiting = ['a', 'b', 'c'].map((address) =>
    passwords.check('right', hash, address).catch((e: Failure) => e.reason),
  );
  passwords.close();
  expect(await Promise.all(waiting)).toEqual(['UNAVAILABLE', 'UNAVAILABLE', 'UNAVAILABLE']);
});
