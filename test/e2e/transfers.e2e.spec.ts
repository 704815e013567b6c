import { readFileSync } from 'node:fs';
import { Deferred } from '#async';
import { type Answer, digestOfBody, get } from '../support/client.js';
import { eventually } from '../support/eventually.js';
import { readAll } from '../support/readers.js';
import { type Installation, install, stacks } from '../support/servers.js';
import { type BlobSource, bytesOf } from '../support/upstream/blobs.js';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream/index.js';

jest.setTimeout(300_000);

const MiB = 2 ** 20;
/** Far above what a process needs: it must not grow with the clients. */
const MOST_MEMORY = 1024 * MiB;

/** Resident memory of a process, in bytes: its peak (`VmHWM`), or what it holds now (`VmRSS`). */
function memory(pid: number, field: 'VmHWM' | 'VmRSS'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)![1]) * 1024;
}

describe.each(stacks())('running transfers on the %s stack', (name) => {
  let upstream: FakeUpstream;
  let system: Installation;
  let seed = 1000;

  beforeAll(async () => {
    upstream = await startFakeUpstream();
    system = await install(name, [upstream.host]);
  });
  afterAll(async () => {
    await system?.stop();
    await upstream?.stop();
  });
  beforeEach(() => upstream.requests.clear());
  afterEach(() => upstream.faults.clear());

  const blob = (size: number) => upstream.addBlob('cold', { size, seed: ++seed });
  const url = (digest: string, gateway = 0) =>
    `${system.gateways[gateway % system.gateways.length]!.url}/v2/${upstream.host}/cold/blobs/${digest}`;
  /** One fetch, although a slow line may have been given a second connection for a share of its own. */
  const expectOneFetch = ({ digest, size }: BlobSource) => {
    const path = new RegExp(digest);
    expect(upstream.requests.filter({ method: 'GET', path }).filter(({ range }) => range === undefined)).toHaveLength(
      1,
    );
    expect(upstream.requests.bytes(path)).toBeLessThan(1.5 * size);
  };
  const processes = () => [...new Set([...system.gateways, ...system.pullers])];
  const right = (answer: Answer, { digest }: BlobSource) =>
    expect([answer.status, answer.cut, digestOfBody(answer.body)]).toEqual([200, false, digest]);

  it('C44: 1,000 readers of one cold blob cost one upstream GET and bounded memory, and all digests are right', async () => {
    const cold = blob(32 * MiB);
    const { digest } = cold;
    const all = await readAll(
      system.gateways.map((_, i) => url(digest, i)),
      digest,
      1000,
    );
    expect(all).toMatchObject({ right: 1000, wrong: 0, cut: 0, refused: 0, statuses: {} });
    expectOneFetch(cold);
    for (const { pid } of processes()) expect(memory(pid, 'VmHWM')).toBeLessThan(MOST_MEMORY);
  });

  it('C46: the first client leaves, and the transfer goes on for the others', async () => {
    const cold = blob(8 * MiB);
    const gate = new Deferred();
    upstream.faults.add({ path: /cold/, method: 'GET', stall: { at: 4 * MiB, open: gate.promise } });
    const leave = new AbortController();
    const first = get(url(cold.digest), { signal: leave.signal, onBytes: (total) => total > MiB && leave.abort() });
    await expect(first).rejects.toThrow();
    const joined = new Deferred();
    const others = [0, 1].map((gateway) =>
      get(url(cold.digest, gateway), { onBytes: (total) => total > MiB && joined.resolve() }),
    );
    await joined.promise;
    gate.resolve();
    for (const answer of await Promise.all(others)) right(answer, cold);
    expectOneFetch(cold);
  });

  it('C48: a client at a crawl holds nobody up', async () => {
    const cold = blob(24 * MiB);
    const fast = [0, 1].map((gateway) => get(url(cold.digest, gateway)));
    const done = Promise.all(fast).then(() => true);
    // One piece, then nothing more until all the others have everything.
    const slow = get(url(cold.digest), { pause: done });
    for (const answer of await Promise.all(fast)) right(answer, cold);
    right(await slow, cold);
    expectOneFetch(cold);
  });

  it('A122: forty clients at a crawl on what is stored hold nobody up and cost no memory', async () => {
    const stored = blob(32 * MiB);
    right(await get(url(stored.digest)), stored);
    const gateway = system.gateways[0]!;
    const before = memory(gateway.pid, 'VmRSS');
    const go = new Deferred();
    let begun = 0;
    const slow = Array.from({ length: 40 }, () => {
      let first = true;
      return get(url(stored.digest), {
        pause: go.promise,
        onChunk: () => {
          if (first) begun++;
          first = false;
        },
      });
    });
    await eventually(async () => expect(begun).toBe(slow.length));
    for (let n = 0; n < 3; n++) right(await get(url(stored.digest)), stored);
    // All of their bodies are 1.25 GiB.
    expect(memory(gateway.pid, 'VmRSS') - before).toBeLessThan(256 * MiB);
    go.resolve();
    for (const answer of await Promise.all(slow)) right(answer, stored);
  });

  it('A72: a bounded range of a cold blob does not wait for the whole of it', async () => {
    const cold = blob(24 * MiB);
    const whole = bytesOf(cold);
    const gate = new Deferred();
    // The plain GET brings 4 MiB and then nothing for as long as the ranges are not answered.
    upstream.faults.add({ path: /cold/, method: 'GET', ranged: false, stall: { at: 4 * MiB, open: gate.promise } });
    const at = [1000, 20 * MiB, 23 * MiB + 5];
    const parts = await Promise.all(
      at.map((from, i) => get(url(cold.digest, i), { headers: { range: `bytes=${from}-${from + 99_999}` } })),
    );
    for (const [i, from] of at.entries()) {
      expect([parts[i]!.status, parts[i]!.headers['content-range']]).toEqual([
        206,
        `bytes ${from}-${from + 99_999}/${cold.size}`,
      ]);
      expect(parts[i]!.body.equals(whole.subarray(from, from + 100_000))).toBe(true);
    }
    gate.resolve();
    right(await get(url(cold.digest)), cold);
    expect(upstream.requests.bytes(new RegExp(cold.digest))).toBeLessThan(1.5 * cold.size);
  });

  it("A78, C49: containerd's parallel open-ended ranges, closed early, make one upstream fetch", async () => {
    const cold = blob(32 * MiB);
    const whole = bytesOf(cold);
    const part = 4 * MiB;
    const chunk = async (offset: number, gateway: number) => {
      const leave = new AbortController();
      const chunks: Buffer[] = [];
      // Reads its part of an answer that goes to the end, then closes.
      await get(url(cold.digest, gateway), {
        headers: { range: `bytes=${offset}-` },
        signal: leave.signal,
        onChunk: (bytes, total) => {
          chunks.push(bytes);
          if (total >= part) leave.abort();
        },
      }).catch(() => {});
      return Buffer.concat(chunks).subarray(0, part);
    };
    const offsets = Array.from({ length: cold.size / part }, (_, i) => i * part);
    const parts = await Promise.all(offsets.map(chunk));
    for (const [i, offset] of offsets.entries())
      expect(parts[i]!.equals(whole.subarray(offset, offset + part))).toBe(true);
    right(await get(url(cold.digest)), cold);
    // Connections that are cut short after a split may have sent a little more than was kept.
    expectOneFetch(cold);
  });

  it('C53: SIGTERM drains a hundred streams', async () => {
    const cold = blob(4 * MiB);
    const gate = new Deferred();
    upstream.faults.add({ path: /cold/, method: 'GET', stall: { at: 2 * MiB, open: gate.promise } });
    let flowing = 0;
    const all = new Deferred();
    const streams = Array.from({ length: 100 }, () => {
      let counted = false;
      return get(url(cold.digest), {
        onBytes: () => {
          if (!counted && ++flowing === 100) all.resolve();
          counted = true;
        },
      });
    });
    await all.promise;
    const stopping = [...new Set([system.gateways[0]!, ...system.pullers])];
    const stopped = Promise.all(stopping.map((server) => server.stop()));
    // Refuses new connections, hence it has begun to drain.
    while (
      await fetch(`${system.gateways[0]!.url}/v2/`).then(
        () => true,
        () => false,
      )
    );
    gate.resolve();
    for (const answer of await Promise.all(streams)) right(answer, cold);
    expect(await stopped).toEqual(stopping.map(() => 0));
    await Promise.all(stopping.map((server) => server.start()));
  });
});
