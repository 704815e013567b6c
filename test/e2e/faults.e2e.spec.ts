import { createHash } from 'node:crypto';
import { Deferred } from '#async';
import { type Answer, digestOfBody, get } from '../support/client.js';
import { eventually } from '../support/eventually.js';
import { spoolFiles, whileLocked } from '../support/inside.js';
import { type Installation, install, type ServerProcess, stacks } from '../support/servers.js';
import type { BlobSource } from '../support/upstream/blobs.js';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream/index.js';

jest.setTimeout(60_000);

const MiB = 2 ** 20;
const INDEX = 'application/vnd.oci.image.index.v1+json';
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

/** Bounded by the test's own time-out. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 20));
}

describe.each(stacks())('faults on the %s stack', (name) => {
  let spare: FakeUpstream[];
  /** One for each test: a breaker that opens in one must not be felt in another. */
  let upstream: FakeUpstream;
  let system: Installation;
  let seed = 3000;

  beforeAll(async () => {
    spare = await Promise.all(Array.from({ length: 15 }, () => startFakeUpstream()));
    system = await install(
      name,
      spare.map(({ host }) => host),
      { pulls: { lease: '3s', unreadFor: '2s' } },
    );
  });
  afterAll(async () => {
    await system?.stop();
    await Promise.all(spare.map((one) => one.stop()));
  });
  let tests = 0;
  beforeEach(() => {
    upstream = spare[tests++]!;
  });

  const blob = (size: number) => upstream.addBlob('cold', { size, seed: ++seed });
  const path = (rest: string) => `/v2/${upstream.host}/${rest}`;
  const url = (digest: string, gateway = 0) =>
    system.gateways[gateway % system.gateways.length]!.url + path(`cold/blobs/${digest}`);
  const gets = (digest: string) => upstream.requests.gets(new RegExp(digest));
  const right = (answer: Answer, { digest }: BlobSource) =>
    expect([answer.status, answer.cut, digestOfBody(answer.body)]).toEqual([200, false, digest]);
  const idle = () => until(async () => system.spools.every((directory) => spoolFiles(directory).length === 0));
  /** The answer once no breaker is open any more: it lets a probe through every few seconds. */
  async function recovered(asked: string): Promise<Answer> {
    for (;;) {
      const answer = await get(asked);
      if (answer.status !== 503) return answer;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  /** The process that downloads the blob. */
  async function pullerOf(digest: string): Promise<ServerProcess> {
    const busy = () => system.pullers.find(({ log }) => log.includes(`"digest":"${digest}"`));
    await until(() => busy() !== undefined);
    return busy()!;
  }

  describe('of the upstream', () => {
    /** Fifty clients of one blob of which the upstream has sent half; `strike` happens once all have bytes. */
    async function fifty(strike: () => Promise<void> | void): Promise<{ cold: BlobSource; answers: Answer[] }> {
      const cold = blob(8 * MiB);
      upstream.faults.add({ path: /cold/, method: 'GET', stall: { at: 4 * MiB }, times: 1 });
      const waiting = new Set(Array.from({ length: 50 }, (_, i) => i));
      const all = new Deferred();
      const clients = [...waiting].map((i) =>
        get(url(cold.digest, i), { onBytes: () => waiting.delete(i) && waiting.size === 0 && all.resolve() }),
      );
      await all.promise;
      await strike();
      return { cold, answers: await Promise.all(clients) };
    }

    it('C3: dies in the middle of a blob with fifty waiters: one shared resume, and all finish', async () => {
      const { cold, answers } = await fifty(() => upstream.cut());
      for (const answer of answers) right(answer, cold);
      expect(gets(cold.digest)).toBe(2);
    });

    it('C1, C3: dies for good: all are cut, nothing is stored, and the next request fetches anew', async () => {
      const { cold, answers } = await fifty(() => upstream.stop());
      await upstream.start();
      expect(answers.filter(({ cut }) => !cut)).toEqual([]);
      expect(await system.stored.has(cold.digest)).toBe(false);
      await idle();
      right(await recovered(url(cold.digest)), cold);
    });

    it('C6: a length and an empty body are 502 and not cached', async () => {
      const small = blob(5000);
      const { root } = upstream.addImage({ repository: 'hollow', tag: 'v1' });
      upstream.faults.add({ path: /cold|hollow/, truncate: 0 });
      const manifest = system.gateways[0]!.url + path('hollow/manifests/v1');
      for (const asked of [url(small.digest), manifest]) expect((await get(asked)).status).toBe(502);
      upstream.faults.clear();
      right(await recovered(url(small.digest)), small);
      expect((await recovered(manifest)).headers['docker-content-digest']).toBe(root.digest);
    });

    it('a download that all its clients have left stops and leaves nothing, and the next request fetches anew', async () => {
      const cold = blob(12 * MiB);
      const asked = { path: new RegExp(cold.digest), method: 'GET' };
      upstream.faults.add({ ...asked, stall: { at: 8 * MiB }, times: 1 });
      const clients = [0, 1].map((gateway) => {
        const leave = new AbortController();
        const options = { signal: leave.signal, onBytes: (total: number) => total > MiB && leave.abort() };
        return get(url(cold.digest, gateway), options).catch(() => 'left');
      });
      expect(await Promise.all(clients)).toEqual(['left', 'left']);
      await upstream.requests.until({ ...asked, done: true });
      expect(upstream.requests.filter(asked).map(({ aborted }) => aborted)).toEqual([true]);
      await idle();
      expect([await system.stored.has(cold.digest), await system.stored.unfinished()]).toEqual([false, []]);
      right(await get(url(cold.digest)), cold);
    });

    it('C8: headers that never come are 504', async () => {
      upstream.addImage({ repository: 'silent', tag: 'v1' });
      const cold = blob(5000);
      upstream.faults.add({ path: /cold|silent/, hang: true });
      const answers = await Promise.all([
        get(system.gateways[0]!.url + path('silent/manifests/v1')),
        get(url(cold.digest)),
      ]);
      expect(answers.map(({ status }) => status)).toEqual([504, 504]);
    });

    it('C12: a manifest of 100 MiB is aborted at the limit', async () => {
      const bytes = Buffer.alloc(100 * MiB, ' ');
      const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
      upstream.content.addManifest('huge', { mediaType: MANIFEST, digest, bytes }, 'v1');
      for (const noLength of [false, true]) {
        upstream.requests.clear();
        upstream.faults.add({ path: /huge/, noLength });
        expect((await get(system.gateways[0]!.url + path('huge/manifests/v1'))).status).toBe(502);
        await upstream.requests.until({ path: /huge/, method: 'GET', done: true });
        const [request] = upstream.requests.filter({ path: /huge/, method: 'GET' });
        expect(request!.aborted).toBe(true);
        upstream.faults.clear();
      }
    });

    it('C17: an index of 10,000 children is one request, not a storm', async () => {
      const manifests = Array.from({ length: 10_000 }, (_, i) => ({
        mediaType: MANIFEST,
        digest: `sha256:${createHash('sha256').update(String(i)).digest('hex')}`,
        size: 500,
        platform: { os: 'linux', architecture: 'amd64' },
      }));
      const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests }));
      const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
      upstream.content.addManifest('wide', { mediaType: INDEX, digest, bytes }, 'v1');
      const answer = await get(system.gateways[0]!.url + path('wide/manifests/v1'));
      expect(answer.body.equals(bytes)).toBe(true);
      // An image pulled afterwards goes the same way through the queue, with its prefetch.
      const { images } = upstream.addImage({ repository: 'narrow', tag: 'v1', layers: [12_345] });
      expect((await get(system.gateways[0]!.url + path('narrow/manifests/v1'))).status).toBe(200);
      for (const { digest: layer } of images[0]!.layers)
        await upstream.requests.until({ path: new RegExp(layer), method: 'GET', done: true });
      expect(upstream.requests.count({ path: /wide/ })).toBe(1);
    });
  });

  describe('of the store', () => {
    it('C54: a crash between "bytes stored" and "row committed" is reconciled without another fetch', async () => {
      const cold = blob(12 * MiB);
      let client!: Promise<Answer>;
      let dead!: ServerProcess;
      await whileLocked(system.databaseUrl, 'blobs', async (unlock) => {
        client = get(url(cold.digest));
        await until(() => system.stored.has(cold.digest));
        dead = await pullerOf(cold.digest);
        await dead.stop('SIGKILL');
        // The private database of a standalone server dies with it, and the lock with that.
        if (name === 'distributed') await unlock();
      }).catch((error) => {
        if (name === 'distributed') throw error;
      });
      const first = await client;
      if (name === 'distributed') right(first, cold);
      await dead.start();
      right(await get(url(cold.digest, 1)), cold);
      expect(gets(cold.digest)).toBe(1);
      expect(await system.stored.unfinished()).toEqual([]);
      await idle();
    });

    it('C57: bytes that are gone although the row is there are fetched again', async () => {
      const cold = blob(3 * MiB);
      right(await get(url(cold.digest)), cold);
      await until(() => system.stored.has(cold.digest));
      await system.stored.remove(cold.digest);
      const again = async () => {
        right(await get(url(cold.digest, 1)), cold);
        expect(gets(cold.digest)).toBe(2);
      };
      // A standalone server that has the file open since the end of the first pull reads on in it for up to a minute.
      await (name === 'standalone' ? eventually(again, 90_000) : again());
      await until(() => system.stored.has(cold.digest));
      await again();
    }, 120_000);

    // The store of a standalone server is its own disk.
    if (name === 'distributed')
      it('C57: while the store is away, what it has comes from the upstream all the same', async () => {
        const held = [blob(20_000), blob(3 * MiB)];
        for (const cold of held) {
          right(await get(url(cold.digest)), cold);
          await until(() => system.stored.has(cold.digest));
        }
        await system.services.s3!.kill();
        try {
          // Through the gateway that has nothing of it in memory.
          const answers = await Promise.all(held.map(({ digest }) => get(url(digest, 1))));
          for (const [i, cold] of held.entries()) {
            right(answers[i]!, cold);
            expect(gets(cold.digest)).toBe(2);
          }
        } finally {
          await system.services.s3!.restart();
        }
        await idle();
        for (const cold of held) {
          right(await get(url(cold.digest)), cold);
          expect(gets(cold.digest)).toBe(2);
        }
        expect(await system.stored.unfinished()).toEqual([]);
      });

    it('C58: a blob that has lost its end in the store is found out, and the client still gets all of it', async () => {
      const cold = blob(3 * MiB);
      right(await get(url(cold.digest)), cold);
      await until(() => system.stored.has(cold.digest));
      await system.stored.truncate(cold.digest, MiB);
      right(await get(url(cold.digest, 1)), cold);
      expect(gets(cold.digest)).toBe(2);
    });

    it('C58: a small blob whose bytes have changed in the store is found out before its first byte', async () => {
      const cold = blob(20_000);
      right(await get(url(cold.digest)), cold);
      await until(() => system.stored.has(cold.digest));
      await system.stored.replace(cold.digest, Buffer.alloc(20_000, 'x'));
      // What a process has read and verified stays in its memory.
      await system.restartAll();
      right(await get(url(cold.digest, 1)), cold);
      expect(gets(cold.digest)).toBe(2);
      await system.restartAll();
      right(await get(url(cold.digest)), cold);
      expect(gets(cold.digest)).toBe(2);
    });
  });
});
