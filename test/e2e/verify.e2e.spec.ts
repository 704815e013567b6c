import { randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { digestOfBody, get } from '../support/client.js';
import { ociregistry } from '../support/command.js';
import { eventually } from '../support/eventually.js';
import { type Installation, install, stacks } from '../support/servers.js';
import { type FakeUpstream, type MadeImage, startFakeUpstream } from '../support/upstream/index.js';

jest.setTimeout(240_000);

interface Problem {
  kind: string;
  digest: string;
  problem: string;
  outcome: string;
}
interface Job {
  id: string;
  state: string;
  objects: number;
  bytes: number;
  bad: number;
  repaired: number;
  problems: Problem[];
  request: { deep: boolean };
}

describe.each(stacks())('verification on the %s stack', (name) => {
  let upstream: FakeUpstream;
  let system: Installation;
  let admin: string;
  let app: MadeImage;
  let tool: MadeImage;
  const names: Record<'app' | 'tool', string> = { app: '', tool: '' };

  beforeAll(async () => {
    upstream = await startFakeUpstream();
    app = upstream.addImage({ repository: 'team/app', tag: 'v1', layers: [2000, 300_000, 70_000] }).images[0]!;
    tool = upstream.addImage({ repository: 'team/tool', tag: 'v1', layers: [5000], seed: 2 }).images[0]!;
    names.app = `${upstream.host}/team/app:v1`;
    names.tool = `${upstream.host}/team/tool:v1`;
    system = await install(name, [upstream.host]);
    admin = (await system.admin()).admin;
    expect(await run('load', names.app, names.tool)).toMatchObject({ code: 0 });
  });
  afterAll(async () => {
    await system?.stop();
    await upstream?.stop();
  });

  const run = (...args: string[]) => ociregistry([...args, '--server', admin]);
  async function verified(...args: string[]): Promise<Job & { code: number | null; err: string }> {
    const { code, out, err } = await run('verify', '--output', 'json', ...args);
    if (out === '') throw new Error(err);
    return { ...(JSON.parse(out) as Job), code, err };
  }
  async function ask(method: string, path: string, body?: object): Promise<{ status: number; body: Job }> {
    const init = body ? { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) } : {};
    const answer = await fetch(`${admin}/api/v1/${path}`, { method, ...init });
    return { status: answer.status, body: (await answer.json()) as Job };
  }
  const short = ({ problems }: Job) =>
    problems.map(({ digest, problem, outcome }) => [digest, problem, outcome]).sort();

  async function expectServed(repository: string, image: MadeImage) {
    for (const server of system.gateways) {
      const at = `${server.url}/v2/${upstream.host}/${repository}`;
      expect(digestOfBody((await get(`${at}/manifests/v1`)).body)).toBe(image.digest);
      for (const { digest } of [image.config, ...image.layers])
        expect(digestOfBody((await get(`${at}/blobs/${digest}`)).body)).toBe(digest);
    }
  }

  it('looks at sizes after a start, in the background', async () => {
    const { items } = await eventually(async () => {
      const { body } = (await ask('GET', 'verify')) as unknown as { body: { items: Job[] } };
      expect(body.items[0]?.state).toBe('done');
      return body;
    });
    expect(items[0]).toMatchObject({ request: { deep: false }, bad: 0 });
  });

  it('finds all well', async () => {
    const { code, err, ...job } = await verified();
    expect([code, err, job.state, job.bad]).toEqual([0, '', 'done', 0]);
    // Two manifests, two configs, four layers.
    expect(job.objects).toBe(8);
    expect((await run('verify')).out).toMatch(/^8 objects, .* checked in .*: all well\n$/);
  });

  it('tells what is damaged, cut short or lost, and changes nothing', async () => {
    const [wrong, cut, lost] = app.layers;
    await system.stored.replace(wrong!.digest, randomBytes(wrong!.size));
    await system.stored.truncate(cut!.digest, 1000);
    await system.stored.remove(lost!.digest);
    const found = await verified();
    expect([found.code, found.bad, found.repaired]).toEqual([1, 3, 0]);
    const expected = [
      [wrong!.digest, 'bytes', 'found'],
      [cut!.digest, 'size', 'found'],
      [lost!.digest, 'missing', 'found'],
    ].sort();
    expect(short(found)).toEqual(expected);
    expect(found.err).toContain(`blob ${wrong!.digest}: wrong bytes\n`);
    expect(short(await verified(names.app))).toEqual(expected);
    expect(short(await verified('--pattern', 'glob:**/team/app:*'))).toEqual(expected);
    expect(await verified(names.tool)).toMatchObject({ code: 0, bad: 0, objects: 3 });
    const sizes = await verified('--sizes-only');
    expect(sizes.problems.map(({ problem }) => problem).sort()).toEqual(['missing', 'size']);
  });

  it('drops what cannot be fetched now, and fetches it when the upstream is back', async () => {
    await upstream.stop();
    const dropped = await verified('--repair');
    expect([dropped.code, dropped.bad, dropped.repaired]).toEqual([1, 3, 0]);
    expect(new Set(dropped.problems.map(({ outcome }) => outcome))).toEqual(new Set(['dropped']));
    expect(dropped.err).toContain(`dropped and not fetched: ${upstream.host}/team/app: `);
    await upstream.start();
    // The puller leaves an upstream alone for a moment that has just failed.
    await eventually(() => expectServed('team/app', app));
    expect(await verified()).toMatchObject({ code: 0, bad: 0 });
  });

  it('repairs by the pull path', async () => {
    const [wrong, , lost] = app.layers;
    await system.stored.replace(wrong!.digest, randomBytes(wrong!.size));
    await system.stored.remove(lost!.digest);
    upstream.requests.clear();
    const repaired = await verified('--repair');
    expect([repaired.code, repaired.bad, repaired.repaired]).toEqual([0, 2, 2]);
    expect(upstream.requests.gets(new RegExp(wrong!.digest))).toBe(1);
    expect(upstream.requests.gets(new RegExp(lost!.digest))).toBe(1);
    await upstream.stop();
    await expectServed('team/app', app);
    await upstream.start();
  });

  it('repairs a manifest that the database has lost bytes of, with its tags', async () => {
    const client = new Client({ connectionString: system.databaseUrl });
    await client.connect();
    const digest = Buffer.from(tool.digest.slice(7), 'hex');
    const before = await client.query('SELECT name, checked_at, moved_at FROM tags ORDER BY repository_id, name');
    await client.query(`UPDATE manifests SET bytes = 'nothing' WHERE digest = $1`, [digest]);
    expect(short(await verified())).toEqual([[tool.digest, 'bytes', 'found']]);
    expect(await verified('--repair')).toMatchObject({ code: 0, bad: 1, repaired: 1 });
    const after = await client.query('SELECT name, checked_at, moved_at FROM tags ORDER BY repository_id, name');
    await client.end();
    expect(after.rows).toEqual(before.rows);
    await upstream.stop();
    await expectServed('team/tool', tool);
    await upstream.start();
  });

  it('runs once at a time, and stops when it is told to', async () => {
    const slow = await ask('POST', 'verify', { rate: '1' });
    expect([slow.status, slow.body.state]).toEqual([202, 'running']);
    expect((await ask('POST', 'verify', {})).status).toBe(503);
    expect((await ask('DELETE', `verify/${slow.body.id}`)).body.state).toBe('cancelled');
    expect(await verified()).toMatchObject({ code: 0 });
    const interrupted = ociregistry(['verify', '--rate', '1', '--server', admin], { interruptAfter: started });
    expect((await interrupted).code).toBe(130);
    expect(await verified()).toMatchObject({ code: 0 });
  });
  /** The command has started one. */
  const started = () =>
    eventually(async () => {
      const { body } = (await ask('GET', 'verify')) as unknown as { body: { items: Job[] } };
      expect(body.items[0]?.state).toBe('running');
    });

  it.each<[object, RegExp]>([
    [{ rate: 'fast' }, /expected a size/],
    [{ image: 'a', pattern: 'b' }, /either image or pattern/],
    [{ image: 'NO:::' }, /./],
    [{ nothing: 1 }, /no such parameter/],
  ])('refuses %j', async (body, message) => {
    const answer = await ask('POST', 'verify', body);
    expect([answer.status, (answer.body as unknown as { detail: string }).detail]).toEqual([
      400,
      expect.stringMatching(message),
    ]);
  });

  it('says that an image is not there', async () => {
    const { code, err } = await run('verify', 'quay.io/not/here:1');
    expect([code, err]).toEqual([1, 'ociregistry: quay.io/not/here:1 is not in the cache\n']);
  });
});
