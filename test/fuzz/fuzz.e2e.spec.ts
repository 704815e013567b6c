import fc from 'fast-check';
import { get } from '../support/client.js';
import { type Installation, install, stacks } from '../support/servers.js';
import { bytesSource, type FakeUpstream, randomBytes, startFakeUpstream } from '../support/upstream/index.js';
import { Caller } from './caller.js';
import { type Attempt, attempts, type Known } from './requests.js';

jest.setTimeout(1_800_000);

/** Of all stacks together. */
const TOTAL = Number(process.env.OCIREGISTRY_TEST_FUZZ || 10_000);
const COUNT = Math.ceil(TOTAL / stacks().length);
const SEED = Number(process.env.OCIREGISTRY_TEST_FUZZ_SEED || 1);
const CONNECTIONS = 8;
const BATCH = 250;
const SIZE = 5000;

// What the raw bytes of a request do to the server, to the upstream and to the connection they came over.
describe.each(stacks())(`${COUNT} generated requests on the %s stack (seed ${SEED})`, (name) => {
  let upstream: FakeUpstream;
  let system: Installation;
  let base: string;
  let known: Known;
  const content = randomBytes(SIZE, 1);

  beforeAll(async () => {
    upstream = await startFakeUpstream();
    // Nothing but the one upstream is there to be asked, and that is cached.
    system = await install(name, [upstream.host], {
      defaultNs: '',
      tags: { fresh: '1d' },
      prefetch: { enabled: false },
      logLevel: 'error',
    });
    base = system.gateways[0]!.url;
    const { digest } = upstream.addBlob('fuzz', bytesSource(content));
    const { root } = upstream.addImage({ repository: 'fuzz', tag: 'v1' });
    known = { base: `/v2/${upstream.host}/fuzz`, digest, size: SIZE, manifest: root.bytes };
    expect((await get(`${base}${known.base}/manifests/v1`)).body.equals(root.bytes)).toBe(true);
    expect((await get(`${base}${known.base}/blobs/${digest}`)).body.equals(content)).toBe(true);
    upstream.requests.clear();
  });
  afterAll(async () => {
    await system?.stop();
    await upstream?.stop();
  });

  it('are answered below 500, reach no upstream, and leave every connection as it should be', async () => {
    const { pid } = system.gateways[0]!;
    const seen = new Map<string, number>();
    const problems: string[] = [];
    let made = 0;
    let next: Attempt[] = [];
    const take = (): Attempt | undefined => {
      if (next.length === 0 && made < COUNT && problems.length < 20) {
        const numRuns = Math.min(BATCH, COUNT - made);
        next = fc.sample(attempts(known), { numRuns, seed: SEED + made });
        made += numRuns;
      }
      return next.pop();
    };
    const worker = async () => {
      const caller = new Caller(base, known, content);
      for (let attempt = take(); attempt; attempt = take()) {
        const problem = await caller.send(attempt).catch((error: Error) => error.message);
        if (problem) {
          problems.push(
            `${problem}: ${attempt.kind}: ${JSON.stringify(attempt.bytes.toString('latin1').slice(0, 1000))}`,
          );
          caller.close();
        }
        for (const status of caller.statuses) {
          const key = `${attempt.kind} ${status}`;
          seen.set(key, (seen.get(key) ?? 0) + 1);
        }
      }
      caller.close();
    };
    await Promise.all(Array.from({ length: CONNECTIONS }, () => worker()));
    expect(problems).toEqual([]);
    expect(upstream.requests.length).toBe(0);
    expect([system.gateways[0]!.pid, await system.gateways[0]!.ready()]).toEqual([pid, true]);
    // Every kind was met by what it is for.
    for (const key of [
      'anything 400',
      'anything 404',
      'anything 405',
      'bodies 405',
      'long 400',
      'warm 206',
      'warm 416',
      'accepted 200',
      'broken 400',
    ])
      expect([key, seen.get(key) ?? 0]).not.toEqual([key, 0]);
  });
});
