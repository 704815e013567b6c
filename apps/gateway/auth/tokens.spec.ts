import { createHash } from 'node:crypto';
import { type JWTPayload, SignJWT, UnsecuredJWT } from 'jose';
import { Tokens } from './tokens.js';

const KEY = 'k'.repeat(32);
const hashes = new Map([['alice', '$2y$05$one']]);
const tokens = new Tokens(KEY, 'registry', 60_000, (user) => hashes.get(user));
const grant = { repositories: new Set(['ghcr.io/acme/app']), catalog: true };
const secret = createHash('sha256').update(KEY).digest();
const seconds = () => Math.floor(Date.now() / 1000);

function forged(claims: JWTPayload, algorithm = 'HS256'): Promise<string> {
  const good = { iss: 'registry', aud: 'registry', sub: '', exp: seconds() + 60, access: [] };
  return new SignJWT({ ...good, ...claims }).setProtectedHeader({ alg: algorithm }).sign(secret);
}

it('are read as they were written, by every process with the same key', async () => {
  const { token, issuedAt } = await tokens.issue({ user: 'alice', grant });
  const other = new Tokens(KEY, 'registry', 60_000, (user) => hashes.get(user));
  expect(await other.verify(token)).toEqual({ user: 'alice', grant, expires: issuedAt + 60_000 });
  const { token: anonymous } = await tokens.issue({ grant });
  expect(await other.verify(anonymous)).toEqual({ grant, expires: expect.any(Number) });
});

it('A15: say pull and nothing else', async () => {
  const { token } = await tokens.issue({ user: 'alice', grant });
  const claims = JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString());
  expect(claims.access).toEqual([
    { type: 'repository', name: 'ghcr.io/acme/app', actions: ['pull'] },
    { type: 'registry', name: 'catalog', actions: ['*'] },
  ]);
  // Nothing of the password is in it.
  expect(JSON.stringify(claims)).not.toContain('$2y$');
});

it('A14: stay small with the longest names', async () => {
  const repositories = new Set(Array.from({ length: 14 }, (_, n) => `${n}`.padEnd(250, 'x')));
  expect((await tokens.issue({ user: 'alice', grant: { repositories, catalog: true } })).token.length).toBeLessThan(
    8192,
  );
});

it('A16: are refused when they have expired or are none of ours', async () => {
  expect(await tokens.verify(await forged({}))).toBeDefined();
  const bad = [
    await forged({ exp: seconds() - 1 }),
    await forged({ exp: undefined as never }),
    await forged({ iss: 'another' }),
    await forged({ aud: 'another' }),
    await forged({ sub: 'mallory', pwd: 'x' }),
    await forged({ sub: 'alice' }),
    await forged({}, 'HS512').catch(() => 'x'),
    new UnsecuredJWT({ iss: 'registry', aud: 'registry', sub: '', exp: seconds() + 60 }).encode(),
    (await tokens.issue({ grant })).token.slice(0, -4),
    'a.b.c',
    '',
  ];
  for (const token of bad) expect([token, await tokens.verify(token)]).toEqual([token, undefined]);
  const other = new Tokens('o'.repeat(32), 'registry', 60_000, (user) => hashes.get(user));
  expect(await tokens.verify((await other.issue({ grant })).token)).toBeUndefined();
});

it('fall with the password they were given for', async () => {
  const { token } = await tokens.issue({ user: 'alice', grant });
  hashes.set('alice', '$2y$05$two');
  expect(await tokens.verify(token)).toBeUndefined();
  hashes.delete('alice');
  expect(await tokens.verify(token)).toBeUndefined();
});
