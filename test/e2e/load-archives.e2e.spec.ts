import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { digestOfBody, get } from '../support/client.js';
import { ociregistry } from '../support/command.js';
import { type Installation, install, ServerProcess, stacks } from '../support/servers.js';
import { freePort } from '../support/services/index.js';
import { type AddedImage, type FakeUpstream, startFakeUpstream } from '../support/upstream/index.js';

jest.setTimeout(240_000);

/** A site with an upstream and one without; between them files. */
describe('archives of images', () => {
  let upstream: FakeUpstream;
  let source: Installation;
  let directory: string;
  let images: Record<'one' | 'two', AddedImage>;
  let names: Record<'one' | 'two', string>;
  const file = (name: string) => join(directory, name);
  const atSource = (args: string[]) => ociregistry([...args, '--server', source.gateways[0]!.admin]);

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'ociregistry-archives-'));
    chmodSync(directory, 0o755);
    upstream = await startFakeUpstream();
    const platforms = ['linux/amd64', 'linux/arm64'];
    images = {
      one: upstream.addImage({ repository: 'air/one', tag: 'v1', platforms, layers: [2000, 3_000_000] }),
      two: upstream.addImage({ repository: 'air/two', tag: 'v1', platforms, layers: [4000], seed: 2 }),
    };
    names = { one: `${upstream.host}/air/one:v1`, two: `${upstream.host}/air/two:v1` };
    source = await install('standalone', [upstream.host]);
    writeFileSync(file('list'), `# both\n${names.one}\n${names.two}\nbad//name\n`);
    const loaded = await atSource(['load', '--image-file', file('list'), '--platform', 'all']);
    expect([loaded.code, loaded.err]).toEqual([
      1,
      'bad//name: line 4: invalid repository name\nociregistry: 1 of 3 images failed\n',
    ]);
    expect(loaded.out).toContain(`${names.one} ${images.one.root.digest} `);
    await upstream.stop();
    expect(await atSource(['export', '--output', file('first.tar'), names.one])).toMatchObject({
      code: 0,
      out: `${names.one} ${images.one.root.digest}\n`,
    });
    expect(
      await atSource(['export', '--output', file('second.tar'), '--since', file('first.tar'), names.one, names.two]),
    ).toMatchObject({ code: 0 });
  });
  afterAll(async () => {
    await source?.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  async function expectServed(base: string, { root, images: all }: AddedImage, repository: string) {
    const at = (rest: string) => `${base}/v2/${upstream.host}/${repository}/${rest}`;
    const index = await get(at('manifests/v1'));
    expect([index.status, index.headers['content-type'], digestOfBody(index.body)]).toEqual([
      200,
      root.mediaType,
      root.digest,
    ]);
    for (const image of all) {
      expect(digestOfBody((await get(at(`manifests/${image.digest}`))).body)).toBe(image.digest);
      for (const { digest } of [image.config, ...image.layers])
        expect(digestOfBody((await get(at(`blobs/${digest}`))).body)).toBe(digest);
    }
  }

  it('is exported deterministically; a delta is smaller by what the other side has', async () => {
    await atSource(['export', '--output', file('again.tar'), names.one]);
    expect(readFileSync(file('again.tar')).equals(readFileSync(file('first.tar')))).toBe(true);
    expect(readFileSync(file('first.tar')).length).toBeGreaterThan(6_000_000);
    expect(readFileSync(file('second.tar')).length).toBeLessThan(100_000);
  });

  it('says what it cannot export, and leaves no file', async () => {
    const { code, err } = await atSource([
      'export',
      '--output',
      file('none.tar'),
      names.one,
      `${upstream.host}/air/none`,
    ]);
    expect([code, err]).toEqual([1, `ociregistry: ${upstream.host}/air/none:latest is not in the cache\n`]);
    expect(() => readFileSync(file('none.tar'))).toThrow();
  });

  describe.each(stacks())('in an air-gapped %s installation', (name) => {
    let target: Installation;
    let admin: string;
    beforeAll(async () => {
      target = await install(name, [upstream.host], { airGapped: true });
      admin = (await target.admin()).admin;
    });
    afterAll(() => target?.stop());

    it('takes a chain of bundles and serves the same digests, without an upstream', async () => {
      const base = target.gateways.at(-1)!.url;
      expect((await get(`${base}/v2/${upstream.host}/air/one/manifests/v1`)).status).toBe(404);
      const early = await ociregistry(['load', '--server', admin, file('second.tar')]);
      expect([early.code, early.err]).toEqual([1, expect.stringContaining('neither in the archive nor here')]);
      const loaded = await ociregistry(['load', '--server', admin, file('first.tar'), file('second.tar')]);
      expect([loaded.code, loaded.err]).toEqual([0, '']);
      expect(loaded.out).toContain(`${names.two} ${images.two.root.digest} `);
      await expectServed(base, images.one, 'air/one');
      await expectServed(base, images.two, 'air/two');
      // Loading ahead finds all that it wants, and nothing else.
      const ahead = await ociregistry(['load', '--server', admin, names.one, 'quay.io/not/here']);
      expect([ahead.code, ahead.err]).toEqual([1, expect.stringContaining('this server is air-gapped')]);
      expect(ahead.out).toContain('(0 of ');
    });

    it('gives out what it was given', async () => {
      const copy = await ociregistry(['export', '--server', admin, '--output', file(`${name}.tar`), names.one]);
      expect(copy).toMatchObject({ code: 0 });
      expect(readFileSync(file(`${name}.tar`)).equals(readFileSync(file('first.tar')))).toBe(true);
    });

    it('refuses a bad archive with a reason, from a file and from a pipe', async () => {
      const bytes = readFileSync(file('first.tar')).subarray(0, 1_000_000);
      writeFileSync(file('cut.tar'), bytes);
      expect(await ociregistry(['load', '--server', admin, file('cut.tar')])).toEqual({
        code: 1,
        out: '',
        err: 'ociregistry: cut.tar: the archive is cut off\n',
      });
      expect(await ociregistry(['load', '--server', admin, '-'], { input: bytes })).toMatchObject({
        code: 1,
        err: 'ociregistry: standard input: the archive is cut off\n',
      });
    });
  });

  it('tells scripts what it loaded and what failed', async () => {
    writeFileSync(file('list'), '# one\nbad//name\n');
    const { code, out } = await atSource([
      'load',
      '--output',
      'json',
      file('second.tar'),
      '--image-file',
      file('list'),
    ]);
    expect([code, JSON.parse(out)]).toEqual([
      1,
      [
        { reference: names.one, outcome: 'loaded', digest: images.one.root.digest, bytes: expect.any(Number) },
        { reference: names.two, outcome: 'loaded', digest: images.two.root.digest, bytes: expect.any(Number) },
        { reference: 'bad//name', outcome: 'failed', problem: 'line 2: invalid repository name' },
      ],
    ]);
    const none = await atSource(['load', '--output', 'yaml', '/no/such.tar']);
    expect([none.code, none.out]).toEqual([1, '[]\n']);
  });

  it('reads an archive on its machine in place, of those who may link to it from the inbox', async () => {
    const admin = `${source.gateways[0]!.admin}/api/v1`;
    const { dataDir } = (await (await fetch(`${admin}/config`)).json()) as { dataDir: string };
    const link = randomUUID();
    symlinkSync(file('first.tar'), join(dataDir, 'inbox', link));
    const { ino, size } = statSync(file('first.tar'));
    const ask = async (inode: number) => {
      const body = JSON.stringify({ link, inode: String(inode), size });
      const headers = { 'content-type': 'application/json' };
      return fetch(`${admin}/import/local`, { method: 'POST', headers, body });
    };
    expect((await ask(ino + 1)).status).toBe(404);
    const read = await ask(ino);
    expect([read.status, await read.json()]).toEqual([
      200,
      { newBlobs: 0, images: [expect.objectContaining({ reference: names.one, outcome: 'loaded' })] },
    ]);
    // The command removes its links, and sends the archive where it may make none.
    rmSync(join(dataDir, 'inbox', link));
    expect(await atSource(['load', file('first.tar')])).toMatchObject({ code: 0, err: '' });
    expect(readdirSync(join(dataDir, 'inbox'))).toEqual([]);
    renameSync(join(dataDir, 'inbox'), join(dataDir, 'no-inbox'));
    expect(await atSource(['load', file('first.tar')])).toMatchObject({ code: 0, err: '' });
    renameSync(join(dataDir, 'no-inbox'), join(dataDir, 'inbox'));
  });

  // A network of its own that has nothing but loopback; who is not root may not make one.
  const cutOff = ['unshare', '--net', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh'];
  const within = spawnSync(cutOff[0]!, [...cutOff.slice(1), 'true']).status === 0 ? cutOff : [];

  it('works with no server running and the network shut off: the command starts the stack on the data directory', async () => {
    const config = file('alone.yaml');
    const [port, adminPort] = [await freePort(), await freePort()];
    const registries = [{ name: upstream.host, scheme: 'http' }];
    writeFileSync(config, stringify({ dataDir: file('alone'), port, adminPort, airGapped: true, registries }));
    const alone = (args: string[]) => ociregistry(['--config-file', config, ...args], { within });
    expect(await alone(['load', file('first.tar'), file('second.tar')])).toMatchObject({ code: 0, err: '' });
    expect(await alone(['export', '-o', file('alone.tar'), names.one])).toMatchObject({ code: 0 });
    expect(readFileSync(file('alone.tar')).equals(readFileSync(file('first.tar')))).toBe(true);
    // The data directory is free again.
    const server = await ServerProcess.start('all', { dataDir: file('alone'), airGapped: true, registries }, directory);
    try {
      await expectServed(server.url, images.one, 'air/one');
      await expectServed(server.url, images.two, 'air/two');
    } finally {
      await server.stop();
    }
  });

  it.each<[string[], number, RegExp]>([
    [['load'], 2, /nothing to load/],
    [['load', '/no/such.tar'], 1, /no such file/],
    [['load', '--platform', 'amd64', 'a'], 2, /Expected os\/architecture/],
    [['load', '--server', 'nonsense', 'a'], 1, /no URL of a server/],
    [['load', '--server', 'http://127.0.0.1:1', 'a'], 1, /cannot reach http:\/\/127.0.0.1:1: nobody listens/],
    [['export', 'a'], 2, /--output/],
    [['export', '--output', '/no/such/x.tar', 'a', '--since', '/no/such/bundle'], 1, /no such file/],
  ])('%j ends with %d', async (args, code, message) => {
    const result = await ociregistry(
      args.includes('--server') ? args : [...args, '--server', source.gateways[0]!.admin],
    );
    expect(result.code).toBe(code);
    expect(result.err).toMatch(message);
  });
});
