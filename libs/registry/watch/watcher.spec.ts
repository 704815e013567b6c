import { Deferred } from '#async';
import { type Digest, Failure, parseReference } from '#oci';
import { type CheckResult, type TagReference, Watcher } from './watcher.js';

const digest = (n: number) => `sha256:${String(n).repeat(64)}` as Digest;
const manifest = (n: number) => ({
  digest: digest(n),
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  bytes: Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digest(9), size: 2 },
      layers: [],
    }),
  ),
});
const reference = (text: string) => parseReference(text) as TagReference;

/** A watcher whose upstream is `pull`: it says what the tag names from then on. */
function watching(pull: () => Promise<number>, every: number, options: { airGapped?: boolean; pinned?: boolean } = {}) {
  let named: { n: number; at: number } | undefined;
  let free = true;
  let asked = 0;
  const results: CheckResult[] = [];
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const catalog = {
    findTag: async () =>
      named ? { digest: digest(named.n), age: Date.now() - named.at, manifest: manifest(named.n) } : undefined,
    findBlob: async () => ({ size: 2 }),
    pulls: { find: async () => undefined },
    duties: {
      take: async () => {
        if (!free) return undefined;
        free = false;
        return {
          renew: async () => true,
          end: async () => {
            free = true;
          },
        };
      },
    },
  };
  const waits = {
    async wait() {
      asked++;
      named = { n: await pull(), at: Date.now() };
    },
    close() {},
  };
  const create = () =>
    new Watcher(
      {
        catalog: catalog as never,
        waits: waits as never,
        log,
        allows: (host) => host !== 'forbidden.example',
        onCheck: (result) => results.push(result),
      },
      {
        airGapped: options.airGapped ?? false,
        tries: 1,
        firstPause: 1,
        concurrency: 1,
        platforms: 'all',
        tagRule: () => ({ fresh: options.pinned ? Number.POSITIVE_INFINITY : 0, stale: 0 }),
      },
      [{ reference: reference('quay.io/a/b:v1'), every }],
    );
  return { create, results, asked: () => asked, isFree: () => free };
}

/** Enough for what only awaits promises. */
const settle = async () => {
  for (let turn = 0; turn < 50; turn++) await Promise.resolve();
};

describe('Watcher', () => {
  beforeEach(() => jest.useFakeTimers());
  afterEach(() => jest.useRealTimers());
  const pass = async (seconds: number) => {
    for (let n = 0; n < seconds; n++) {
      jest.advanceTimersByTime(1000);
      await settle();
    }
  };

  it('asks once an interval, and tells whether the tag has moved', async () => {
    let now = 1;
    const { create, results, asked } = watching(async () => now, 60_000);
    const watcher = create();
    watcher.start();
    await pass(2);
    expect([asked(), results]).toEqual([1, ['moved']]);
    await pass(57);
    expect(asked()).toBe(1);
    await pass(5);
    expect(results).toEqual(['moved', 'unchanged']);
    now = 2;
    await pass(62);
    expect(results).toEqual(['moved', 'unchanged', 'moved']);
    await watcher.stop();
  });

  it('is done by one process, and by another when that one ends; what was just confirmed is not asked again', async () => {
    const { create, asked, isFree } = watching(async () => 1, 60_000);
    const [first, second] = [create(), create()];
    first.start();
    await pass(2);
    second.start();
    await pass(5);
    expect(asked()).toBe(1);
    await first.stop();
    expect(isFree()).toBe(true);
    await pass(20);
    expect([asked(), isFree()]).toEqual([1, false]);
    await pass(60);
    expect(asked()).toBe(2);
    await second.stop();
  });

  it('asks again soon after a failure, and not at all what is pinned or cannot be reached', async () => {
    const failing = watching(() => Promise.reject(new Failure('MANIFEST_UNKNOWN')), 3_600_000);
    const watcher = failing.create();
    watcher.start();
    await pass(65);
    expect(failing.results).toEqual(['failed', 'failed']);
    await watcher.stop();
    for (const options of [{ pinned: true }, { airGapped: true }]) {
      const resting = watching(async () => 1, 1000, options);
      const idle = resting.create();
      idle.start();
      await pass(5);
      expect(resting.asked()).toBe(0);
      expect(await idle.states()).toMatchObject([{ resting: options.pinned ? 'pinned' : 'air-gapped' }]);
      await idle.stop();
    }
  });

  it('asks anew when news comes while it asks, once for all of them', async () => {
    const gates = [new Deferred<number>(), new Deferred<number>()];
    let turn = 0;
    const { create, asked } = watching(() => gates[turn++]!.promise, 60_000);
    const watcher = create();
    const tag = reference('quay.io/a/b:v1');
    const first = watcher.check(tag);
    await settle();
    const news = [watcher.checkAnew(tag), watcher.checkAnew(tag)];
    gates[0]!.resolve(1);
    expect(await first).toBe('moved');
    gates[1]!.resolve(2);
    expect(await Promise.all(news)).toEqual(['moved', 'moved']);
    expect(asked()).toBe(2);
    await watcher.stop();
  });

  it('asks no registry that may not be pulled from', async () => {
    const { create, asked } = watching(async () => 1, 60_000);
    const watcher = create();
    expect(await watcher.check(reference('forbidden.example/a/b:v1'))).toBe('failed');
    expect(asked()).toBe(0);
    await watcher.stop();
  });
});
