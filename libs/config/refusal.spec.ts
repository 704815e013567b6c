import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BCRYPT, configDirectory } from './refused.contract.js';
import { ROLES } from './schema.js';

const { directory, problems } = configDirectory();

describe('a bad file', () => {
  it.each<[string, string[]]>([
    ['port: 70000', ['c.yaml:1:7: port: "70000": expected a port number, 0 to 65535']],
    ['port: "x"', ['c.yaml:1:7: port: "x": expected a port number, 0 to 65535']],
    ['logLevel: loud', ['c.yaml:1:11: logLevel: "loud": expected one of trace, debug, info, warn, error, fatal']],
    [
      'pullTimeout: -1',
      ['c.yaml:1:14: pullTimeout: "-1": expected milliseconds or a duration such as 30s, 15m, 24h, 30d'],
    ],
    ['airGapped: maybe', ['c.yaml:1:12: airGapped: "maybe": expected boolean, received string']],
    [
      'defaultNs: https://x',
      ['c.yaml:1:12: defaultNs: "https://x": expected host or host:port, without scheme or path'],
    ],
    [
      'tags: {fresh: 60}',
      ['c.yaml:1:15: tags.fresh: "60": expected a duration with its unit, such as 30s, 15m, 24h, 30d'],
    ],
    ['pulls: {lease: 1s}', ['c.yaml:1:16: pulls.lease: "1s": must be at least 2000 ms']],
    [
      'cache: {maxSize: 101%}',
      [
        'c.yaml:1:18: cache.maxSize: "101%": expected a size such as 500MB, 10GiB (a bare number is bytes) or a share of the disk such as 80%',
      ],
    ],
    [
      'prefetch: {platforms: [linux]}',
      ['c.yaml:1:24: prefetch.platforms[0]: "linux": expected os/architecture, such as linux/amd64'],
    ],
    [
      'tags: {rules: [{match: alpine}]}',
      ['c.yaml:1:24: tags.rules[0].match: "alpine": expected <upstream>/<repository glob>:<tag glob>'],
    ],
    ['prot: 1', ['c.yaml:1:1: prot: unknown key; did you mean port?']],
    ['logfile:', ['c.yaml:1:1: logfile: unknown key; did you mean logFile?']],
    ['fresh: 1s', ['c.yaml:1:1: fresh: unknown key here; did you mean tags.fresh?']],
    ['zebra: 1', ['c.yaml:1:1: zebra: unknown key']],
    ['__proto__: {port: 1}', ['c.yaml:1:1: __proto__: unknown key']],
    ['constructor: 1', ['c.yaml:1:1: constructor: unknown key']],
    [
      'registries:\n  - name: a.b\n    tls:\n      insecure_skip_verify: true',
      [
        'c.yaml:4:7: registries[0].tls.insecure_skip_verify: unknown key; did you mean registries[0].tls.insecureSkipVerify?',
      ],
    ],
    [
      'registries: [{name: a.b}, {name: A.B}]',
      ['c.yaml:1:34: registries[1].name: "A.B": already configured by registries[0]'],
    ],
    ['registries: [{scheme: http}]', ['c.yaml:1:14: registries[0].name: expected host or host:port']],
    ['registries: [~]', ['c.yaml:1:14: registries[0]: expected object, received null']],
    ['registries: {a: 1}', ['c.yaml:1:1: registries: expected array, received object']],
    [
      'registries: [{name: a.b, auth: {password: x}}]',
      ['c.yaml:1:26: registries[0].auth.user: required, since password is set'],
    ],
    [
      'registries: [{name: a.b, auth: {user: u, token: {static: x}}}]',
      ['c.yaml:1:42: registries[0].auth.token: user and token cannot both be set'],
    ],
    [
      'registries: [{name: a.b, auth: {token: {provider: gcr}}}]',
      ['c.yaml:1:51: registries[0].auth.token.provider: "gcr": expected one of ecr'],
    ],
    ['registries: [{name: a.b, tls: {ca: nowhere}}]', ['c.yaml:1:36: registries[0].tls.ca: "nowhere": no such file']],
    ['registries: [{name: a.b, tls: {ca: /}}]', ['c.yaml:1:36: registries[0].tls.ca: "/": not a file']],
    [
      'registries: [{name: 127.1}]',
      ['c.yaml:1:21: registries[0].name: "127.1": expected host or host:port, without scheme or path'],
    ],
    ['pruneConfig: {enabled: true, type: pattern}', ['c.yaml:1:1: pruneConfig.expr: required, since type is pattern']],
    ['health: 9000\nmetrics: 9000', ['c.yaml:2:10: metrics: "9000": the same port as health']],
    ['adminPort: 8080', ['c.yaml:1:12: adminPort: "8080": the same port as port']],
    [
      'blobs: {filesystem: {}, s3: {bucket: abc}}',
      ['c.yaml:1:1: blobs: only one of filesystem and s3 may be set', expect.stringContaining('metadata.url')],
    ],
    [
      'admin: {token: a, tokenFromEnv: B}',
      ['c.yaml:1:33: admin.tokenFromEnv: "B": only one of token, tokenFromEnv and tokenFromFile may be set'],
    ],
    [
      'admin: {tokenFromEnv: NOT_SET}',
      ['c.yaml:1:23: admin.tokenFromEnv: "NOT_SET": this environment variable is not set'],
    ],
    ['admin: {tokenFromFile: /nowhere}', ['c.yaml:1:24: admin.tokenFromFile: "/nowhere": no such file']],
    [
      'preload: {schedule: often}',
      [
        'c.yaml:1:21: preload.schedule: "often": expected an interval such as 24h, or five cron fields such as "0 3 * * *"',
      ],
    ],
    [
      'publicUrl: example.org',
      ['c.yaml:1:12: publicUrl: "example.org": expected a URL starting with http:// or https://'],
    ],
    ['- a', ['c.yaml: expected keys and values']],
    ['just text', ['c.yaml: expected keys and values']],
    ['port: 1\nport: 2', ['c.yaml:2:1: not YAML: Map keys must be unique']],
    ['port: *x', ['c.yaml: not YAML that can be used: bad aliases or too deep']],
  ])('%s', (yaml, expected) => {
    const found = problems(yaml);
    expect(expected.length === 1 ? found : found.slice(0, expected.length)).toEqual(expected);
  });

  it('tells everything at once', () => {
    expect(
      problems('prot: 1\nport: x\nhealth: 1\nmetrics: 1\nadmin: {tokenFromEnv: N}', { env: { OCIREGISTRY_HOTS: 'x' } }),
    ).toHaveLength(5);
  });

  it.each<[string, string | undefined]>([
    ['no such file', undefined],
    ['not a file', '/'],
  ])('is refused: %s', (reason, path) => {
    const name = path ?? join(directory, 'nowhere.yaml');
    expect(problems(undefined, { file: name })).toEqual([
      `--config-file: configFile: ${JSON.stringify(name).replace(`${directory}/`, '')}: ${reason}`,
    ]);
  });

  it('is refused when it is a bomb, nested too deep or too long', () => {
    const bomb = [
      'a: &a [x,x,x,x,x,x,x,x,x]',
      ...'bcdefgh'.split('').map((c, i) => `${c}: &${c} [${`*${'abcdefgh'[i]},`.repeat(9)}]`),
    ].join('\n');
    expect(problems(bomb)).toHaveLength(1);
    expect(problems('['.repeat(100_000))).not.toHaveLength(0);
    expect(problems(`# ${'x'.repeat(1024 * 1024)}`)).toEqual([
      '--config-file: configFile: "c.yaml": larger than 1024 KiB',
    ]);
  });
});

describe('a bad environment', () => {
  it.each<[Record<string, string>, string]>([
    [{ OCIREGISTRY_PROT: '1' }, 'OCIREGISTRY_PROT: unknown variable; did you mean OCIREGISTRY_PORT?'],
    [{ OCIREGISTRY_ZEBRA: '1' }, 'OCIREGISTRY_ZEBRA: unknown variable'],
    [{ OCIREGISTRY_PORT: 'x' }, 'OCIREGISTRY_PORT: port: "x": expected a port number, 0 to 65535'],
    [{ OCIREGISTRY_REGISTRIES: 'a.b' }, 'OCIREGISTRY_REGISTRIES: registries: expected JSON'],
    [
      { OCIREGISTRY_TAGS_FRESH: '', OCIREGISTRY_TAGS_STALE: '1' },
      'OCIREGISTRY_TAGS_STALE: tags.stale: "1": expected a duration with its unit, such as 30s, 15m, 24h, 30d',
    ],
    [{ OCIREGISTRY_CONFIG_FILE: '/nowhere' }, 'OCIREGISTRY_CONFIG_FILE: configFile: "/nowhere": no such file'],
  ])('%j', (env, expected) => expect(problems(undefined, { env })).toEqual([expected]));

  it('names the flag that people typed', () => {
    expect(problems('port: 1', { flags: { port: '-1' }, flagNames: { port: '--port' } })).toEqual([
      '--port: port: "-1": expected a port number, 0 to 65535',
    ]);
  });
});

describe('roles', () => {
  const url = { OCIREGISTRY_METADATA_URL: 'postgres://u:p@h/d' };

  it.each(['gateway', 'puller', 'admin'] as const)('%s needs all shared parts', (role) => {
    expect(problems(undefined, { role })).toEqual([
      `metadata.url: required by the role ${role}`,
      `bus.nats: required by the role ${role}`,
      `blobs.s3: required by the role ${role}`,
    ]);
  });

  it('refuses a share of the disk as the budget of a bucket', () => {
    const shared =
      'metadata: {url: "postgresql://h/d"}\nbus: {nats: "nats://h"}\nblobs: {s3: {bucket: bucket, region: r}}\n';
    expect(problems(`${shared}cache: {maxSize: 50%}\n`)).toEqual([
      'c.yaml:4:18: cache.maxSize: "50%": a share of the disk needs blobs.filesystem; give bytes, such as 500GiB',
    ]);
    expect(problems(`${shared}cache: {maxSize: 50GiB}\n`)).toEqual([]);
  });

  it('gateways that ask who clients are need a key that they share', () => {
    const shared =
      'metadata: {url: "postgresql://h/d"}\nbus: {nats: "nats://h"}\nblobs: {s3: {bucket: bucket, region: r}}\n';
    const users = join(directory, 'shared-users');
    writeFileSync(users, `a:${BCRYPT}\n`);
    const asking = `${shared}clientAuth: {htpasswd: ${users}}\n`;
    const why = 'required by the distributed stack: the same for all gateways, such as `openssl rand -hex 32` gives';
    for (const role of ['all', 'gateway'] as const)
      expect(problems(asking, { role })).toEqual([`c.yaml:4:1: clientAuth.tokenKey: ${why}`]);
    for (const role of ['puller', 'admin'] as const) expect(problems(asking, { role })).toEqual([]);
    expect(problems(`${shared}clientAuth: {htpasswd: ${users}, tokenKey: ${'k'.repeat(32)}}\n`)).toEqual([]);
    expect(problems(`clientAuth: {htpasswd: ${users}}\n`)).toEqual([]);
  });

  it('all refuses a half of them', () => {
    const why = 'required, since metadata.url is set (set all of metadata.url, bus.nats and blobs.s3, or none)';
    expect(problems(undefined, { env: url })).toEqual([`bus.nats: ${why}`, `blobs.s3: ${why}`]);
  });

  it('are four', () => expect(ROLES).toHaveLength(4));
});

describe('secrets in messages', () => {
  it.each([
    'metadata: {url: "mysql://u:hunter2@h/d"}',
    'registries: [{name: a.b, proxy: "ftp://u:hunter2@p"}]',
    'registries: [{name: a.b, auth: {user: u, passwrd: hunter2}}]',
    'registries: [{name: a.b, auth: {user: u, password: [hunter2]}}]',
    'bus: {nats: "http://u:hunter2@h/x y"}',
    'publicUrl: "ftp://u:hunter2@p"',
    'registries: [{name: a.b, auth: {user: u, password: "hunter2}}]',
    'admin: {token: hunter2\nport: 1',
    'registries: [{name: "https://u:hunter2@a.b"}]',
    'password: hunter2',
    'a: hunter2 hunter2: [',
  ])('are masked: %s', (yaml) => {
    const found = problems(yaml);
    expect(found).not.toEqual([]);
    expect(found.join('\n')).not.toContain('hunter2');
  });
});
