import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BCRYPT, configDirectory } from './refused.contract.js';

const { directory, problems } = configDirectory();

describe('clientAuth', () => {
  it.each<[string, string]>([
    ['', 'it names no user'],
    ['# none\n\n', 'it names no user'],
    ['alice', 'line 1: expected user:hash'],
    [`:${BCRYPT}`, 'line 1: expected user:hash'],
    [`a:${BCRYPT}\nb:$apr1$x$hunter2`, 'line 2: no bcrypt hash; write it with `htpasswd -B`'],
    ['a:{SHA}hunter2', 'line 1: no bcrypt hash; write it with `htpasswd -B`'],
    [`a:${BCRYPT.slice(0, -1)}`, 'line 1: no bcrypt hash; write it with `htpasswd -B`'],
    [`a:${BCRYPT.replace('$05$', '$17$')}`, 'line 1: the cost must be 4 to 14'],
    [`a:${BCRYPT}\r\na:${BCRYPT}`, 'line 2: "a" is there already'],
    [`${'a'.repeat(300)}:${BCRYPT}`, 'line 1: the name is longer than 255 characters'],
  ])('refuses a file of users: %j', (text, reason) => {
    writeFileSync(join(directory, 'users'), text);
    expect(problems(`clientAuth:\n  htpasswd: ${directory}/users`)).toEqual([
      `c.yaml:2:13: clientAuth.htpasswd: "users": ${reason}`,
    ]);
  });

  it.each<[string, string]>([
    ['{}', 'clientAuth.htpasswd: required'],
    ['{htpasswd: nowhere}', 'clientAuth.htpasswd: "nowhere": no such file'],
    ['{htpasswd: USERS, usres: 1}', 'clientAuth.usres: unknown key'],
    ['{htpasswd: USERS, tokenLifetime: 30s}', 'clientAuth.tokenLifetime: "30s": must be at least 60000 ms'],
    ['{htpasswd: USERS, tokenKey: hunter2}', 'clientAuth.tokenKey: ***: must have at least 32 characters'],
    ["{htpasswd: USERS, service: 'a\"b'}", 'clientAuth.service: "a\\"b": expected letters'],
    [
      '{htpasswd: USERS, anonymous: [alpine]}',
      'clientAuth.anonymous[0]: "alpine": expected <upstream>/<repository glob>',
    ],
    ['{htpasswd: USERS, anonymous: [docker.io/Library/*]}', 'clientAuth.anonymous[0]: "docker.io/Library/*": expected'],
    ['{htpasswd: USERS, rules: [{allow: ["**"]}]}', 'clientAuth.rules[0].users: required'],
    [
      '{htpasswd: USERS, rules: [{users: [a], allow: ["a.b/c:latest"]}]}',
      'clientAuth.rules[0].allow[0]: "a.b/c:latest": expected',
    ],
  ])('refuses %s', (text, expected) => {
    writeFileSync(join(directory, 'users'), `a:${BCRYPT}\n`);
    const found = problems(`clientAuth: ${text.replace('USERS', `${directory}/users`)}`);
    expect(found.join('\n')).toContain(expected);
    expect(found.join('\n')).not.toContain('hunter2');
  });
});
