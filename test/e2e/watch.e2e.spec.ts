import { createHmac } from 'node:crypto';
import { digestOfBody, get } from '../support/client.js';
import { eventually } from '../support/eventually.js';
import { type Installation, install, stacks } from '../support/servers.js';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream/index.js';

jest.setTimeout(240_000);

interface Watched {
  readonly reference: string;
  readonly state: string;
  readonly digest?: string;
  readonly checkedAt?: string;
  readonly failure?: { readonly reason: string };
}

describe.each(stacks())('watched tags and webhooks on the %s stack', (name) => {
  const secret = 'hook-secret-of-github';
  let upstream: FakeUpstream;
  let system: Installation;
  let admin: string;
  let seed = 0;

  beforeAll(async () => {
    upstream = await startFakeUpstream();
    const image = (path: string) => `${upstream.host}/${path}`;
    addImage('watched/app', 'v1');
    system = await install(name, [upstream.host], {
      // No client makes anything happen: only what is watched, and webhooks.
      tags: { fresh: '1h', rules: [{ match: `${upstream.host}/pinned/*:*`, pin: true }] },
      watch: [
        { image: image('watched/app:v1'), every: '1s' },
        { image: image('watched/none:v1'), every: '1s' },
        { image: image('pinned/app:v1') },
      ],
      hooks: {
        github: { secret },
        quay: { secret: 'hook-secret-of-quay' },
        cloudevents: { secret: 'hook-secret-of-events' },
      },
    });
    admin = `${(await system.admin()).admin}/api/v1`;
  });
  afterAll(async () => {
    await system?.stop();
    await upstream?.stop();
  });
  afterEach(() => upstream.faults.clear());

  /** An image of its own under the tag; its digest and blobs. */
  function addImage(repository: string, tag: string) {
    const made = upstream.addImage({ repository, tag, seed: ++seed });
    const { digest, config, layers } = made.images[0]!;
    return { digest, blobs: [config, ...layers].map((blob) => blob.digest) };
  }
  const states = async () => ((await (await fetch(`${admin}/watch`)).json()) as { items: Watched[] }).items;
  const stateOf = async (repository: string) =>
    (await states()).find(({ reference }) => reference === `${upstream.host}/${repository}:v1`)!;
  const pull = (path: string, gateway = 0) => get(`${system.gateways[gateway]!.url}/v2/${upstream.host}/${path}`);
  const send = (source: string, body: unknown, headers: Record<string, string> = {}) =>
    fetch(`${admin}/hooks/${source}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
  const quay = (repository: string, ...tags: string[]) => ({
    repository,
    docker_url: `${upstream.host}/${repository}`,
    updated_tags: tags,
  });
  const docker = (repository: string, tag: string) => ({
    events: [{ action: 'push', target: { repository, tag }, request: { host: upstream.host } }],
  });
  const allHeld = async (blobs: readonly string[]) => {
    for (const digest of blobs) expect(await system.stored.has(digest)).toBe(true);
  };

  it('fetches a watched image before anybody asks, and again when its tag has moved', async () => {
    const moved = async (digest: string, blobs: readonly string[]) => {
      await eventually(async () => expect((await stateOf('watched/app')).digest).toBe(digest), 60_000);
      await eventually(() => allHeld(blobs), 60_000);
    };
    const first = await eventually(async () => {
      const { digest } = await stateOf('watched/app');
      expect(digest).toBeDefined();
      return digest;
    }, 60_000);
    const next = addImage('watched/app', 'v1');
    expect(next.digest).not.toBe(first);
    await moved(next.digest, next.blobs);
    // Every gateway has it, and nothing is fetched: no client has ever asked before.
    upstream.requests.clear();
    for (const gateway of system.gateways.keys()) {
      const answer = await pull('watched/app/manifests/v1', gateway);
      expect([answer.status, answer.headers['docker-content-digest']]).toEqual([200, next.digest]);
      for (const digest of next.blobs) expect((await pull(`watched/app/blobs/${digest}`, gateway)).status).toBe(200);
    }
    expect(upstream.requests.gets(/watched\/app/)).toBe(0);
  });

  it('asks by HEAD while nothing moves, and shows how each tag is', async () => {
    upstream.requests.clear();
    const { checkedAt } = await stateOf('watched/app');
    await eventually(async () => expect((await stateOf('watched/app')).checkedAt! > checkedAt!).toBe(true), 60_000);
    expect(upstream.requests.gets(/watched\/app\/manifests/)).toBe(0);
    await eventually(async () =>
      expect(await states()).toEqual([
        expect.objectContaining({ reference: `${upstream.host}/watched/app:v1`, state: 'watched', every: 1000 }),
        expect.objectContaining({
          reference: `${upstream.host}/watched/none:v1`,
          failure: expect.objectContaining({ reason: expect.stringMatching(/_UNKNOWN$/) }),
        }),
        expect.objectContaining({ reference: `${upstream.host}/pinned/app:v1`, state: 'pinned' }),
      ]),
    );
    expect(upstream.requests.gets(/pinned/)).toBe(0);
  });

  it('fetches what a webhook tells of, when it is cached', async () => {
    addImage('team/app', 'v1');
    expect((await pull('team/app/manifests/v1')).status).toBe(200);
    const next = addImage('team/app', 'v1');
    const answer = await send('docker', docker('team/app', 'v1'));
    expect([answer.status, await answer.json()]).toEqual([
      202,
      { accepted: [`${upstream.host}/team/app:v1`], ignored: [] },
    ]);
    await eventually(() => allHeld(next.blobs), 60_000);
    await eventually(async () =>
      expect((await pull('team/app/manifests/v1')).headers['docker-content-digest']).toBe(next.digest),
    );
    addImage('team/unknown', 'v1');
    const unknown = await send('docker', docker('team/unknown', 'v1'));
    expect(await unknown.json()).toEqual({
      accepted: [],
      ignored: [{ reference: `${upstream.host}/team/unknown:v1`, reason: 'neither cached nor watched' }],
    });
    const foreign = await send('docker', {
      push_data: { tag: 'v1' },
      repository: { repo_name: 'x/y' },
    });
    expect(await foreign.json()).toMatchObject({ accepted: [], ignored: [{ reference: 'docker.io/x/y:v1' }] });
    const forbidden = await send('docker', {
      events: [{ action: 'push', target: { repository: 'a', tag: 'b' }, request: { host: '169.254.169.254' } }],
    });
    expect(await forbidden.json()).toMatchObject({ ignored: [{ reason: 'registry not allowed' }] });
  });

  it('believes those that know the secret only', async () => {
    addImage('signed/app', 'v1');
    expect((await pull('signed/app/manifests/v1')).status).toBe(200);
    const next = addImage('signed/app', 'v1');
    const body = JSON.stringify({
      action: 'published',
      package: {
        name: 'app',
        package_type: 'CONTAINER',
        package_version: {
          package_url: 'ghcr.io/signed/app:v1',
          container_metadata: { tag: { name: 'v1' } },
        },
      },
    });
    const sign = (key: string) => ({
      'x-hub-signature-256': `sha256=${createHmac('sha256', key).update(body).digest('hex')}`,
    });
    for (const headers of [undefined, sign('another'), { authorization: `Bearer ${secret}` }])
      expect((await send('github', body, headers)).status).toBe(401);
    // As if our fake were GitHub's registry.
    const taken = await send(`github?registry=${upstream.host}`, body, sign(secret));
    expect([taken.status, await taken.json()]).toEqual([
      202,
      { accepted: [`${upstream.host}/signed/app:v1`], ignored: [] },
    ]);
    await eventually(() => allHeld(next.blobs), 60_000);
    expect((await send('quay?token=wrong', quay('signed/app', 'v1'))).status).toBe(401);
    expect((await send('quay?token=hook-secret-of-quay', quay('signed/app', 'v1'))).status).toBe(202);
  });

  it('tells a sender of CloudEvents that it may send, when it knows the secret', async () => {
    const ask = async (source: string, headers: Record<string, string>) => {
      const answer = await fetch(`${admin}/hooks/${source}`, { method: 'OPTIONS', headers });
      const of = (name: string) => answer.headers.get(name);
      return [answer.status, of('webhook-allowed-origin'), of('webhook-allowed-rate'), of('allow')];
    };
    const origin = { 'webhook-request-origin': 'eventgrid.azure.net' };
    const rated = { ...origin, 'webhook-request-rate': '120' };
    const consent = [200, 'eventgrid.azure.net', '*', 'POST'];
    expect(await ask('cloudevents?token=hook-secret-of-events', rated)).toEqual(consent);
    expect(await ask('cloudevents', { ...origin, authorization: 'Bearer hook-secret-of-events' })).toEqual(consent);
    expect(await ask('cloudevents?token=wrong', rated)).toEqual([401, null, null, null]);
    expect(await ask('cloudevents', rated)).toEqual([401, null, null, null]);
    expect(await ask('cloudevents?token=hook-secret-of-events', {})).toEqual([400, null, null, null]);
    expect(await ask('quay?token=hook-secret-of-quay', rated)).toEqual([405, null, null, 'POST']);
    // The delivery that follows says again who it is.
    addImage('events/app', 'v1');
    expect((await pull('events/app/manifests/v1')).status).toBe(200);
    const next = addImage('events/app', 'v1');
    const event = {
      specversion: '1.0',
      type: 'Microsoft.ContainerRegistry.ImagePushed',
      source: '/subscriptions/x',
      id: '1',
      data: { action: 'push', target: { repository: 'events/app', tag: 'v1' }, request: { host: upstream.host } },
    };
    const type = { ...origin, 'content-type': 'application/cloudevents+json' };
    const taken = await send('cloudevents?token=hook-secret-of-events', event, type);
    expect([taken.status, await taken.json()]).toEqual([
      202,
      { accepted: [`${upstream.host}/events/app:v1`], ignored: [] },
    ]);
    await eventually(() => allHeld(next.blobs), 60_000);
  });

  it('says what is wrong with a payload', async () => {
    const problem = async (answer: Response) => {
      expect(answer.headers.get('content-type')).toContain('application/problem+json');
      return [answer.status, ((await answer.json()) as { detail: string }).detail] as const;
    };
    expect(await problem(await send('docker', '{"push_data":'))).toEqual([400, expect.any(String)]);
    expect(await problem(await send('docker', quay('a/b', 'c')))).toEqual([422, expect.stringContaining('push_data')]);
    expect(await problem(await send('nobody', {}))).toEqual([404, expect.stringContaining('docker, github')]);
    const event = { specversion: '1.0', type: 'x', data: { image: 'a b' } };
    const type = {
      'content-type': 'application/cloudevents+json; charset=utf-8',
      authorization: 'Bearer hook-secret-of-events',
    };
    expect(await problem(await send('cloudevents', event, type))).toEqual([422, expect.stringContaining('a b')]);
    expect(await problem(await send('cloudevents', '{', type))).toEqual([400, expect.any(String)]);
  });

  it('counts checks and webhooks', async () => {
    await eventually(async () => {
      const text = await (await fetch(`${admin.replace('/api/v1', '')}/metrics`)).text();
      const value = (sample: string) => Number(text.split(`ociregistry_${sample} `)[1]?.split('\n')[0]);
      expect(value('tag_checks_total{result="unchanged"}')).toBeGreaterThan(0);
      expect(value('tag_checks_total{result="moved"}')).toBeGreaterThanOrEqual(3);
      expect(value('tag_checks_total{result="failed"}')).toBeGreaterThan(0);
      expect(value('hook_tags_total{source="docker",result="accepted"}')).toBe(1);
    });
  });

  // The only process of a standalone server has nobody to take over from it.
  if (name === 'distributed')
    it('goes on in another process when the one that watches is killed', async () => {
      const [watching, other] = [await system.admin(), await system.another!()];
      const taken = 'this process watches tags now';
      expect([watching.log.includes(taken), other.log.includes(taken)]).toEqual([true, false]);
      await watching.stop('SIGKILL');
      const next = addImage('watched/app', 'v1');
      await eventually(() => allHeld(next.blobs), 120_000);
      expect(other.log).toContain(taken);
      const { body } = await pull('watched/app/manifests/v1');
      expect(digestOfBody(body)).toBe(next.digest);
    });
});
