import { EventEmitter } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jsonSchema } from '#config';
import { run } from './program.js';
import { readVersion } from './version.js';

async function command(args: string[], env: Record<string, string> = {}) {
  const texts = { out: '', err: '' };
  const code = await run(args, {
    env,
    out: (text) => {
      texts.out += text;
    },
    err: (text) => {
      texts.err += text;
    },
    signals: new EventEmitter(),
    exit: () => {
      throw new Error('nothing here may end the process');
    },
  });
  return { code, ...texts };
}

describe('the command line', () => {
  let directory: string;
  let good: string;
  let bad: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'cli-'));
    good = join(directory, 'good.yaml');
    bad = join(directory, 'bad.yaml');
    writeFileSync(good, 'port: 9000\nconfigFile: x\n');
    writeFileSync(bad, 'prot: 9000\nadmin: {tokenFromEnv: NOWHERE}\n');
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  it('prints the version', async () => {
    const { version } = readVersion();
    expect(await command(['version'])).toEqual({
      code: 0,
      out: expect.stringContaining(`ociregistry ${version}`),
      err: '',
    });
    expect((await command(['version'])).out).toContain(process.version);
    expect(await command(['--version'])).toEqual({ code: 0, out: `${version}\n`, err: '' });
  });

  it('prints the JSON schema', async () => {
    const { code, out } = await command(['config', 'schema']);
    expect([code, JSON.parse(out)]).toEqual([0, jsonSchema()]);
  });

  it.each<[string, (file: string) => string[]]>([
    ['-f F', (file) => ['config', 'check', '-f', file]],
    ['--config-file F before', (file) => ['--config-file', file, 'config', 'check']],
    ['--config-file F after', (file) => ['config', 'check', '--config-file', file]],
  ])('checks a configuration: %s', async (_, args) => {
    expect(await command(args(good))).toEqual({
      code: 0,
      out: 'OK\n',
      err: 'configFile: has no effect inside the file\n',
    });
    expect(await command(args(bad))).toEqual({
      code: 2,
      out: '',
      err: `ociregistry: the configuration has 2 problems:\n  ${bad}:1:1: prot: unknown key; did you mean port?\n  ${bad}:2:23: admin.tokenFromEnv: "NOWHERE": this environment variable is not set\n`,
    });
  });

  it.each([[['--server', 'http://127.0.0.1:1', 'status']], [['status', '--server', 'http://127.0.0.1:1']]])(
    'takes the server before and after the command: %j',
    async (args) => {
      expect(await command(args)).toMatchObject({ code: 1, err: expect.stringContaining('http://127.0.0.1:1') });
    },
  );

  it('does not serve for another server', async () => {
    expect(await command(['--server', 'http://127.0.0.1:1', 'serve'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('--server'),
    });
  });

  it('checks the environment, too', async () => {
    expect(await command(['config', 'check'], { OCIREGISTRY_PORT: 'x' })).toMatchObject({
      code: 2,
      err: 'ociregistry: the configuration has a problem:\n  OCIREGISTRY_PORT: port: "x": expected a port number, 0 to 65535\n',
    });
  });

  it.each<[string[], string]>([
    [['--config-file', 'F', 'serve'], 'did you mean port?'],
    [['serve', '--config-file', 'F'], 'did you mean port?'],
    [['serve', '--port', 'http'], '--port: port: "http": expected a port number'],
    [['--log-level', 'loud', 'serve'], '--log-level: logLevel: "loud": expected one of'],
    [['serve', '--log-level', 'loud'], '--log-level: logLevel: "loud": expected one of'],
    [['serve', '--pull-timeout', 'soon'], '--pull-timeout: pullTimeout: "soon"'],
    [['serve', '--air-gapped=perhaps'], '--air-gapped: airGapped: "perhaps"'],
    [['serve', '--preload-images', '/nowhere'], '--preload-images: preloadImages: "/nowhere": no such file'],
    [['serve', '--role', 'gateway'], 'metadata.url: required by the role gateway'],
  ])('%j is refused with 2 before anything starts', async (args, message) => {
    const { code, out, err } = await command(args.map((arg) => (arg === 'F' ? bad : arg)));
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(message);
  });

  it.each<[string[], string]>([
    [[], 'Usage: ociregistry'],
    [['sever'], 'Did you mean serve?'],
    [['serve', '--prot', '1'], 'Did you mean --port?'],
    [['serve', '--role', 'boss'], 'Allowed choices are all, gateway, puller, admin'],
    [['serve', '--port'], 'argument missing'],
    [['serve', 'now'], 'too many arguments'],
    [['config'], 'Usage: ociregistry config'],
    [['config', 'check', '-f'], 'argument missing'],
  ])('%j is wrong usage', async (args, message) => {
    const { code, err } = await command(args);
    expect(code).toBe(2);
    expect(err).toContain(message);
  });

  it("has every flag of the Go server's serve", async () => {
    const { code, out } = await command(['serve', '--help']);
    expect(code).toBe(0);
    const flags =
      'port host os arch pull-timeout health metrics always-pull-latest hello-world air-gapped default-ns preload-images data-dir admin-port role';
    for (const flag of flags.split(' ')) expect(out).toContain(`--${flag}`);
    const { out: main } = await command(['--help']);
    for (const flag of ['config-file', 'image-path', 'log-level', 'log-file']) expect(main).toContain(`--${flag}`);
  });
});
