import { parse } from 'yaml';
import { get } from '../support/client.js';
import { type CommandResult, ociregistry } from '../support/command.js';
import { type Installation, install, stacks } from '../support/servers.js';
import { freePort } from '../support/services/index.js';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream/index.js';

jest.setTimeout(240_000);

const TOKEN = 'only-for-operators';

describe.each(stacks())('commands against a server of the %s stack', (name) => {
  let upstream: FakeUpstream;
  let system: Installation;
  let admin: string;
  const image = (tag: string) => `${upstream.host}/team/app:${tag}`;

  beforeAll(async () => {
    upstream = await startFakeUpstream();
    upstream.addImage({ repository: 'team/app', tag: 'v1' });
    system = await install(name, [upstream.host], { admin: { token: TOKEN } });
    admin = (await system.admin()).admin;
    expect((await get(`${system.gateways[0]!.url}/v2/${upstream.host}/team/app/manifests/v1`)).status).toBe(200);
  });
  afterAll(async () => {
    await system?.stop();
    await upstream?.stop();
  });

  const run = (...args: string[]): Promise<CommandResult> => ociregistry([...args, '--server', admin]);

  it('status tells how the server is and what it holds', async () => {
    const text = await run('status');
    expect([text.code, text.err]).toEqual([0, '']);
    expect(text.out).toMatch(/^state +ready$/m);
    expect(text.out).toMatch(/^images +1 tags, 1 manifests in 1 repositories$/m);
    const json = JSON.parse((await run('status', '--output', 'json')).out);
    expect(json).toMatchObject({ server: admin, ready: true, stats: { content: { tags: 1 } } });
    expect(Object.values(json.dependencies)).toEqual([{ status: 'up' }, { status: 'up' }, { status: 'up' }]);
    const yaml = parse((await run('status', '-o', 'yaml')).out);
    expect(yaml.stats.content).toEqual(json.stats.content);
    expect((await run('status', '-o', 'wide')).out).toContain(upstream.host);
  });

  it('explain tells what a pull would meet with, and pulls nothing', async () => {
    upstream.requests.clear();
    const cached = await run('explain', image('v1'));
    expect([cached.code, cached.err]).toEqual([0, '']);
    expect(cached.out).toContain('served from the cache');
    const absent = await run('explain', '--output', 'json', image('v2'));
    expect(JSON.parse(absent.out)).toMatchObject({ reference: image('v2'), verdict: 'pull' });
    expect((await run('explain', 'nobody.example/a:1')).out).toContain('refused; no upstream is asked');
    expect(upstream.requests.count({ path: /manifests/ })).toBe(0);
    const bad = await run('explain', 'NO:::');
    expect([bad.code, bad.out, bad.err]).toEqual([1, '', expect.stringMatching(/^ociregistry: ref: /)]);
  });

  it('what changes something needs the token: by flag or environment', async () => {
    const refused = await run('verify');
    expect([refused.code, refused.out]).toEqual([1, '']);
    expect(refused.err).toBe(
      'ociregistry: this needs the admin token (give the admin token: --token or OCIREGISTRY_ADMIN_TOKEN)\n',
    );
    expect((await run('verify', '--token', 'wrong')).err).toContain('wrong admin token');
    expect(await run('verify', '--token', TOKEN)).toMatchObject({ code: 0, err: '' });
    const env = { OCIREGISTRY_ADMIN_TOKEN: TOKEN };
    expect(await ociregistry(['verify', '--server', admin], { env })).toMatchObject({ code: 0, err: '' });
  });

  it.each<[string, string[], RegExp]>([
    ['an unknown format', ['status', '--output', 'xml'], /Allowed choices are table, wide, json, yaml/],
    ['an unknown flag', ['status', '--colour'], /unknown option '--colour'/],
    ['no reference', ['explain'], /missing required argument 'reference'/],
  ])('%s is wrong usage: 2', async (_, args, message) => {
    expect(await run(...args)).toMatchObject({ code: 2, out: '', err: expect.stringMatching(message) });
  });

  it('nobody there, and somebody else there, are failures: 1', async () => {
    const nobody = `http://127.0.0.1:${await freePort()}`;
    expect(await ociregistry(['status', '--server', nobody])).toEqual({
      code: 1,
      out: '',
      err: `ociregistry: cannot reach ${nobody}: nobody listens there\n`,
    });
    const { url } = system.gateways[0]!;
    expect(await ociregistry(['status', '--server', url])).toMatchObject({
      code: 1,
      err: expect.stringContaining('is no ociregistry admin port'),
    });
  });

  // A standalone server has no services that could be away.
  if (name === 'distributed')
    it('status names what a server waits for: 1', async () => {
      await system.services.nats!.kill();
      const status = await run('status');
      await system.services.nats!.restart();
      expect([status.code, status.err]).toEqual([1, expect.stringMatching(/^ociregistry: nats does not answer: /)]);
      expect(status.out).toMatch(/^state +not ready$/m);
    });
});
