import { Deferred } from '#async';
import { digestOfBody, get } from '../support/client.js';
import { type Installation, install, type ServerProcess, stacks } from '../support/servers.js';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream/index.js';

jest.setTimeout(240_000);

const MiB = 2 ** 20;

/** Bounded by the test's own time-out. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds().catch(() => false))) await new Promise((resolve) => setTimeout(resolve, 100));
}

/** A standalone server is one process: its death takes its clients' sockets with it. Skipped when STACK names that one alone. */
const distributedOnly = stacks().includes('distributed') ? describe : describe.skip;

distributedOnly('the death of a process, distributed', () => {
  let upstream: FakeUpstream;
  let system: Installation;

  let seed = 20;

  beforeAll(async () => {
    upstream = await startFakeUpstream();
    system = await install('distributed', [upstream.host]);
  });
  afterAll(async () => {
    await system?.stop();
    await upstream?.stop();
  });
  afterEach(() => upstream.faults.clear());

  const url = (gateway: number, digest: string) =>
    `${system.gateways[gateway]!.url}/v2/${upstream.host}/big/blobs/${digest}`;

  /** Starts clients on a blob whose upstream stalls half-way, waits until each has bytes, then lets `strike` happen. */
  async function interrupted(
    strike: (digest: string) => Promise<unknown>,
  ): Promise<{ digest: string; bodies: string[] }> {
    const blob = upstream.addBlob('big', { size: 24 * MiB, seed: ++seed });
    const stalled = new Deferred();
    upstream.faults.add({
      path: /big\/blobs/,
      method: 'GET',
      stall: { at: 12 * MiB, open: stalled.promise },
      times: 1,
    });
    const halfway = [new Deferred(), new Deferred()];
    const clients = halfway.map((half, i) =>
      get(url(i, blob.digest), { onBytes: (total) => total > 4 * MiB && half.resolve() }),
    );
    await Promise.all(halfway.map((half) => half.promise));
    await strike(blob.digest);
    stalled.resolve();
    const answers = await Promise.all(clients);
    expect(answers.map(({ cut, status }) => [status, cut])).toEqual([
      [200, false],
      [200, false],
    ]);
    return { digest: blob.digest, bodies: answers.map(({ body }) => digestOfBody(body)) };
  }

  it('C52: a killed puller is a pause for every client, not a failure', async () => {
    let killed: ServerProcess | undefined;
    const { digest, bodies } = await interrupted(async (busyWith) => {
      const started = (log: string) =>
        log.split('\n').some((line) => line.includes('transfer started') && line.includes(busyWith));
      const busy = system.pullers.find(({ log }) => started(log));
      if (!busy) throw new Error('no puller says that it transfers the blob');
      await busy.stop('SIGKILL');
      expect(await system.stored.has(busyWith)).toBe(false);
      killed = busy;
    });
    expect(bodies).toEqual([digest, digest]);
    await killed?.start();
  });

  it('C56: a restart of NATS in the middle of a transfer is not noticed', async () => {
    const { digest, bodies } = await interrupted(() => system.services.nats!.restart());
    expect(bodies).toEqual([digest, digest]);
  });

  it('C55: a restart of PostgreSQL in the middle of a transfer is not noticed', async () => {
    const { digest, bodies } = await interrupted(() => system.services.postgres!.restart());
    expect(bodies).toEqual([digest, digest]);
  });

  it('C55: with PostgreSQL away a running download ends well, memory serves, and all else is to come back', async () => {
    const { images } = upstream.addImage({ repository: 'known', tag: 'v1' });
    const manifests = `${system.gateways[0]!.url}/v2/${upstream.host}/known/manifests`;
    const { digest } = images[0]!;
    expect((await get(`${manifests}/${digest}`)).status).toBe(200);
    const blob = upstream.addBlob('big', { size: 24 * MiB, seed: ++seed });
    const gate = new Deferred();
    upstream.faults.add({ path: /big\/blobs/, method: 'GET', stall: { at: 12 * MiB, open: gate.promise }, times: 1 });
    const flowing = new Deferred();
    const running = get(url(0, blob.digest), { onBytes: (total) => total > 4 * MiB && flowing.resolve() });
    await flowing.promise;
    await system.services.postgres!.kill();
    try {
      gate.resolve();
      const answer = await running;
      expect([answer.status, answer.cut, digestOfBody(answer.body)]).toEqual([200, false, blob.digest]);
      expect((await get(`${manifests}/${digest}`)).status).toBe(200);
      const unknown = await get(`${manifests}/v2`);
      expect([unknown.status, Number(unknown.headers['retry-after']) > 0]).toEqual([503, true]);
    } finally {
      await system.services.postgres!.restart();
    }
    // What was fetched meanwhile was not thrown away.
    await until(async () => (await get(url(1, blob.digest), { method: 'HEAD' })).status === 200);
    const fetched = upstream.requests.filter({ method: 'GET', path: new RegExp(blob.digest) });
    expect(fetched.filter(({ range }) => range === undefined)).toHaveLength(1);
  });

  it('A4, C56: with NATS away hits are served, misses are refused and not hung, and the version check answers', async () => {
    const { images } = upstream.addImage({ repository: 'warm', tag: 'v1' });
    const gateway = system.gateways[0]!.url;
    const manifest = `${gateway}/v2/${upstream.host}/warm/manifests`;
    expect((await get(`${manifest}/v1`)).status).toBe(200);
    await system.services.nats!.kill();
    try {
      expect((await get(`${gateway}/v2/`)).status).toBe(200);
      expect((await get(`${manifest}/${images[0]!.digest}`)).status).toBe(200);
      const miss = await get(`${manifest}/never-asked`);
      expect([miss.status, Number(miss.headers['retry-after']) > 0]).toEqual([503, true]);
    } finally {
      await system.services.nats!.restart();
    }
    upstream.addImage({ repository: 'after', tag: 'v1' });
    const after = `${gateway}/v2/${upstream.host}/after/manifests/v1`;
    let status = 0;
    for (let i = 0; i < 40 && status !== 200; i++) status = (await get(after)).status;
    expect(status).toBe(200);
  });
});

distributedOnly('the order of starting', () => {
  it('A4: is free: a gateway answers what it can, names what it waits for, and serves when that has come', async () => {
    const upstream = await startFakeUpstream();
    const system = await install('distributed', [upstream.host]);
    const { postgres, nats, s3 } = system.services;
    const gateway = system.gateways[0]!;
    try {
      upstream.addImage({ repository: 'late', tag: 'v1' });
      await gateway.stop();
      await Promise.all([postgres!.kill(), nats!.kill(), s3!.kill()]);
      gateway.launch();
      await until(() => get(`${gateway.admin}/health/live`).then(({ status }) => status === 200));
      const ready = await get(`${gateway.admin}/health/ready`);
      expect([ready.status, Object.keys(JSON.parse(ready.body.toString()).error).sort()]).toEqual([
        503,
        ['nats', 'postgresql', 's3'],
      ]);
      await until(() => get(`${gateway.url}/v2/`).then(({ status }) => status === 200));
      const early = await get(`${gateway.url}/v2/${upstream.host}/late/manifests/v1`);
      expect([early.status, Number(early.headers['retry-after']) > 0]).toEqual([503, true]);
      await until(async () =>
        ['PostgreSQL', 'NATS', 'the blob store'].every((name) => gateway.log.includes(`waiting for ${name}`)),
      );
      await Promise.all([postgres!.restart(), nats!.restart(), s3!.restart()]);
      await until(() => gateway.ready());
      await until(() =>
        get(`${gateway.url}/v2/${upstream.host}/late/manifests/v1`).then(({ status }) => status === 200),
      );
    } finally {
      await system.stop();
      await upstream.stop();
    }
  });
});

const standaloneOnly = stacks().includes('standalone') ? describe : describe.skip;
standaloneOnly('the death of a standalone server', () => {
  it('a second server on the same data directory is refused, naming the first', async () => {
    const system = await install('standalone', []);
    try {
      const [first] = system.gateways;
      const second = await first!.twin();
      expect(second.code).toBe(1);
      expect(second.output).toContain(`process ${first!.pid}`);
      expect(await first!.ready()).toBe(true);
    } finally {
      await system.stop();
    }
  });

  it('SIGKILL in the middle of a transfer leaves nothing half-visible', async () => {
    const upstream = await startFakeUpstream();
    const system = await install('standalone', [upstream.host]);
    try {
      const blob = upstream.addBlob('big', { size: 16 * MiB, seed: 31 });
      const server = system.gateways[0]!;
      const url = `${server.url}/v2/${upstream.host}/big/blobs/${blob.digest}`;
      const started = new Deferred();
      upstream.faults.add({ path: /big/, method: 'GET', stall: { at: 8 * MiB }, times: 1 });
      const client = get(url, { onBytes: (total) => total > 4 * MiB && started.resolve() });
      await started.promise;
      await server.stop('SIGKILL');
      expect((await client).cut).toBe(true);
      await server.start();
      const again = await get(url);
      expect([again.status, digestOfBody(again.body)]).toEqual([200, blob.digest]);
    } finally {
      await system.stop();
      await upstream.stop();
    }
  });
});
