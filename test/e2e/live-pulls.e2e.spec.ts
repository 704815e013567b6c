import { Deferred } from '../../libs/async/index.js';
import { digestOfBody, get } from '../support/client.js';
import { eventually } from '../support/eventually.js';
import { type Installation, install, stacks } from '../support/servers.js';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream/index.js';

jest.setTimeout(240_000);

interface Pull {
  key: string;
  reference?: string;
  state: string;
  size?: number;
  failure?: { reason: string };
  progress?: { received: number; readers: number };
}
interface Look {
  running: Pull[];
  finished: Pull[];
}

const SIZE = 8 * 2 ** 20;

describe.each(stacks())('pulls as an operator sees them on the %s stack', (name) => {
  let upstream: FakeUpstream;
  let system: Installation;
  let api: string;
  let seed = 900;

  beforeAll(async () => {
    upstream = await startFakeUpstream();
    system = await install(name, [upstream.host], { workers: 2 });
    api = `${(await system.admin()).admin}/api/v1/pulls`;
  });
  afterAll(async () => {
    await system?.stop();
    await upstream?.stop();
  });

  const url = (repository: string, digest: string) =>
    `${system.gateways[0]!.url}/v2/${upstream.host}/${repository}/blobs/${digest}`;
  /** A blob whose answer stops after `at` bytes until the gate opens. */
  const held = (repository: string, at: number) => {
    const blob = upstream.addBlob(repository, { size: SIZE, seed: ++seed });
    const gate = new Deferred();
    upstream.faults.add({ path: new RegExp(blob.digest), method: 'GET', stall: { at, open: gate.promise } });
    return { ...blob, gate };
  };
  /** A blob that takes some 20 s, but flows: one that does not would give its slot to the next. */
  const slow = (repository: string) => {
    const blob = upstream.addBlob(repository, { size: SIZE / 2, seed: ++seed });
    upstream.faults.add({ path: new RegExp(blob.digest), method: 'GET', rate: 200_000 });
    return blob;
  };
  const cancel = (key: string) => fetch(`${api}/${key}`, { method: 'DELETE' });

  /** Reads events until one satisfies `wanted`. */
  async function watch(wanted: (look: Look) => boolean): Promise<Look> {
    const leave = new AbortController();
    const answer = await fetch(`${api}/events`, { signal: leave.signal });
    expect(answer.headers.get('content-type')).toContain('text/event-stream');
    let text = '';
    try {
      for await (const chunk of answer.body!.pipeThrough(new TextDecoderStream())) {
        text += chunk;
        const events = text.split('\n\n');
        text = events.pop()!;
        for (const event of events) {
          const data = /^data: (.*)$/m.exec(event)?.[1];
          if (!/^event: pulls$/m.test(event) || data === undefined) continue;
          const look = JSON.parse(data) as Look;
          if (wanted(look)) return look;
        }
      }
    } finally {
      leave.abort();
    }
    throw new Error('the events ended');
  }

  it('tells live what runs, how far it is and how it ended', async () => {
    const { digest, gate } = held('live', 3 * 2 ** 20);
    const client = get(url('live', digest));
    const isIt = ({ reference }: Pull) => reference === digest;
    const look = await watch(({ running }) => running.some((pull) => isIt(pull) && (pull.progress?.received ?? 0) > 0));
    const pull = look.running.find(isIt)!;
    expect(pull).toMatchObject({ state: 'running', size: SIZE, progress: { readers: 1 } });
    expect(pull.progress!.received).toBeLessThanOrEqual(3 * 2 ** 20);
    gate.resolve();
    const ended = await watch(({ finished }) => finished.some(isIt));
    expect(ended.running.some(isIt)).toBe(false);
    expect(ended.finished.find(isIt)).toMatchObject({ state: 'done' });
    expect(digestOfBody((await client).body)).toBe(digest);
  });

  it('cancels a running pull: its client is cut, nothing is kept, the next request fetches anew', async () => {
    const { digest, gate } = held('cancelled', 3 * 2 ** 20);
    let begun = () => {};
    const flows = new Promise<void>((resolve) => {
      begun = resolve;
    });
    const client = get(url('cancelled', digest), { onBytes: () => begun() });
    await flows;
    const { running } = await watch((look) => look.running.some(({ reference }) => reference === digest));
    const { key } = running.find(({ reference }) => reference === digest)!;
    const answer = await cancel(key);
    expect([answer.status, await answer.json()]).toEqual([200, { was: 'running' }]);
    expect((await client).cut).toBe(true);
    const { finished } = await watch((look) => look.finished.some((pull) => pull.key === key));
    expect(finished.find((pull) => pull.key === key)).toMatchObject({
      state: 'failed',
      failure: { reason: 'CANCELLED' },
    });
    gate.resolve();
    expect(digestOfBody((await get(url('cancelled', digest))).body)).toBe(digest);
  });

  it('cancels a queued pull: who waits for it is told at once', async () => {
    // More slow blobs than all processes have workers.
    const workers = 2 * system.pullers.length;
    const busy = Array.from({ length: workers + 3 }, () => slow('busy'));
    const clients = busy.map(({ digest }) => get(url('busy', digest)));
    const queued = async () => {
      const { items } = (await (await fetch(`${api}/queued`)).json()) as { items: Pull[] };
      expect(items).toHaveLength(3);
      return items;
    };
    const [waiting] = await eventually(queued);
    const place = busy.findIndex(({ digest }) => digest === waiting!.reference);
    const answer = await cancel(waiting!.key);
    expect([answer.status, await answer.json()]).toEqual([200, { was: 'queued' }]);
    expect(await clients[place]).toMatchObject({ status: 503 });
    // The others too, wherever they are: nobody waits for what was cancelled.
    await eventually(async () => {
      const lists = await Promise.all(['/queued', '?state=running'].map((list) => fetch(api + list)));
      const left = (await Promise.all(lists.map((list) => list.json() as Promise<{ items: Pull[] }>))).flatMap(
        ({ items }) => items,
      );
      for (const { key } of left) await cancel(key);
      expect(left).toEqual([]);
    });
    for (const { status, cut } of await Promise.all(clients)) expect([status === 503, cut]).toContain(true);
  });

  it('says when there is nothing to cancel', async () => {
    const answer = await cancel('0'.repeat(40));
    expect([answer.status, answer.headers.get('content-type')]).toEqual([
      404,
      'application/problem+json; charset=utf-8',
    ]);
  });
});
