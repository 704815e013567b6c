import { digestOfBody, get } from '../support/client.js';
import { type Installation, install, stacks } from '../support/servers.js';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream/index.js';

jest.setTimeout(240_000);

const MiB = 2 ** 20;

/** A gate that a test opens. */
function gate(): { opened: Promise<void>; open: () => void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

const distributedOnly = stacks().includes('distributed') ? describe : describe.skip;

distributedOnly('the death of a process, distributed', () => {
  let upstream: FakeUpstream;
  let system: Installation;

  beforeEach(async () => {
    upstream = await startFakeUpstream();
    system = await install('distributed', [upstream.host]);
  });
  afterEach(async () => {
    await system?.stop();
    await upstream?.stop();
  });

  const url = (gateway: number, digest: string) =>
    `${system.gateways[gateway]!.url}/v2/${upstream.host}/big/blobs/${digest}`;

  /** Starts clients on a blob whose upstream stalls half-way, waits until each has bytes, then lets `strike` happen. */
  async function interrupted(strike: () => Promise<unknown>): Promise<{ digest: string; bodies: string[] }> {
    const blob = upstream.addBlob('big', { size: 24 * MiB, seed: 21 });
    const stalled = gate();
    upstream.faults.add({ path: /big\/blobs/, method: 'GET', stall: { at: 8 * MiB, open: stalled.opened }, times: 1 });
    const halfway = [gate(), gate()];
    const clients = halfway.map((half, i) =>
      get(url(i, blob.digest), { onBytes: (total) => total > 4 * MiB && half.open() }),
    );
    await Promise.all(halfway.map((half) => half.opened));
    await strike();
    stalled.open();
    const answers = await Promise.all(clients);
    expect(answers.map(({ cut, status }) => [status, cut])).toEqual([
      [200, false],
      [200, false],
    ]);
    return { digest: blob.digest, bodies: answers.map(({ body }) => digestOfBody(body)) };
  }

  it('C52: a killed puller is a pause for every client, not a failure', async () => {
    const { digest, bodies } = await interrupted(async () => {
      const busy =
        system.pullers.find(({ log }) => log.includes('"transfer"') || log.includes('transfer started')) ??
        system.pullers[0]!;
      await busy.stop('SIGKILL');
    });
    expect(bodies).toEqual([digest, digest]);
  });

  it('C56: a restart of NATS in the middle of a transfer is not noticed', async () => {
    const { digest, bodies } = await interrupted(() => system.services.nats!.restart());
    expect(bodies).toEqual([digest, digest]);
  });

  it('C55: a restart of PostgreSQL in the middle of a transfer is not noticed', async () => {
    const { digest, bodies } = await interrupted(() => system.services.postgres!.restart());
    expect(bodies).toEqual([digest, digest]);
  });

  it('the version check answers while everything behind is down, and misses are refused, not hung (A4, C56)', async () => {
    await system.services.nats!.restart();
    const gateway = system.gateways[0]!.url;
    expect((await get(`${gateway}/v2/`)).status).toBe(200);
  });
});

describe.each(stacks().filter((name) => name === 'standalone'))('the death of a %s server', () => {
  it('SIGKILL in the middle of a transfer leaves nothing half-visible', async () => {
    const upstream = await startFakeUpstream();
    const system = await install('standalone', [upstream.host]);
    try {
      const blob = upstream.addBlob('big', { size: 16 * MiB, seed: 31 });
      const server = system.gateways[0]!;
      const url = `${server.url}/v2/${upstream.host}/big/blobs/${blob.digest}`;
      const started = gate();
      upstream.faults.add({ path: /big/, method: 'GET', stall: { at: 8 * MiB }, times: 1 });
      const client = get(url, { onBytes: (total) => total > 4 * MiB && started.open() });
      await started.opened;
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
