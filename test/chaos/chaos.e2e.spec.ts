import { eventually } from '../support/eventually.js';
import { spoolFiles } from '../support/inside.js';
import { type Installation, install, stacks } from '../support/servers.js';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream/index.js';
import { ChaosClient, type Ending } from './client.js';
import { addChaosImage, type ChaosImage } from './images.js';
import { Random } from './random.js';
import { type Strike, Strikes, type Victim } from './strikes.js';

const { CHAOS_SEED, CHAOS_SECONDS = '25' } = process.env;
const SEED = CHAOS_SEED ? Number(CHAOS_SEED) : Math.floor(Math.random() * 2 ** 31);
const SECONDS = Number(CHAOS_SECONDS);
/** Also where these take longer than the time that is asked for. */
const LEAST_BLOWS = 4;
const CLIENTS = 6;
/** Milliseconds after a database or store answers again in which a request may still be refused for it. */
const RECOVERY = 5_000;

jest.setTimeout(SECONDS * 1000 + 400_000);

/** `CHAOS_SEED=N CHAOS_SECONDS=N npx jest --selectProjects e2e --testPathPatterns test/chaos` */
describe.each(stacks())('chaos on the %s stack', (name) => {
  let upstream: FakeUpstream;
  let system: Installation;
  let strikes: Strikes;
  const random = new Random(SEED);
  const endings: Ending[] = [];
  const images: ChaosImage[] = [];

  beforeAll(async () => {
    process.stderr.write(`chaos on the ${name} stack: CHAOS_SEED=${SEED} CHAOS_SECONDS=${SECONDS}\n`);
    upstream = await startFakeUpstream();
    system = await install(name, [upstream.host]);
    strikes = new Strikes(system, random.fork());
    // Slow enough that blows fall in the middle of transfers.
    upstream.faults.add({ path: /blobs/, method: 'GET', rate: 3 * 2 ** 20 });
  });
  afterAll(async () => {
    await system?.stop();
    await upstream?.stop();
  });

  const client = () =>
    new ChaosClient(() => system.gateways.map(({ url }) => url), upstream.host, random.fork(), endings);
  /** Images that some client got all of. */
  const had = new Set<ChaosImage>();
  const newImage = () => {
    const image = addChaosImage(upstream, images.length, random);
    images.push(image);
    return image;
  };
  const failed = () => endings.filter(({ verdict }) => verdict !== 'right' && verdict !== 'left');
  const gets = (digest: string) => upstream.requests.filter({ method: 'GET', path: new RegExp(digest) });

  async function expectOneFetchOfEach(pulled: readonly ChaosImage[]): Promise<void> {
    for (const { blobs, repository, tag, manifest } of pulled) {
      // A chunk of a blob over another connection is part of the same fetch; each byte is fetched once.
      for (const { digest, size } of blobs) {
        expect(gets(digest).filter(({ range }) => range === undefined)).toHaveLength(1);
        expect(upstream.requests.bytes(new RegExp(digest))).toBeLessThan(1.5 * size);
      }
      // Once by its tag and, where a client asked for it so, once by its digest.
      for (const reference of [tag, manifest.digest])
        expect(upstream.requests.gets(new RegExp(`${repository}/manifests/${reference}$`))).toBeLessThanOrEqual(1);
    }
  }

  async function expectNothingLeftBehind(): Promise<void> {
    await eventually(async () => {
      expect(system.spools.flatMap(spoolFiles)).toEqual([]);
      expect(await system.stored.unfinished()).toEqual([]);
    }, 60_000);
  }

  it('while nothing dies, each object is fetched once', async () => {
    const fresh = [newImage(), newImage()];
    await Promise.all(Array.from({ length: CLIENTS }, (_, i) => client().pull(fresh[i % fresh.length]!)));
    expect(failed()).toEqual([]);
    await expectOneFetchOfEach(fresh);
    await expectNothingLeftBehind();
  });

  it('whatever is killed and restarted, no client gets a wrong byte or a broken download', async () => {
    let over = false;
    const rage = strikes.rage(Date.now() + SECONDS * 1000, LEAST_BLOWS).finally(() => {
      over = true;
    });
    let current = [newImage(), newImage()];
    const work = async () => {
      const own = client();
      const choices = random.fork();
      while (!over) {
        if (choices.chance(0.3)) current = [newImage(), current[0]!];
        const image = choices.chance(0.75) ? choices.pick(current) : choices.pick(images);
        await own.pull(image);
        had.add(image);
      }
    };
    // What runs ends first, so that a failure here is not one of the next test too.
    const results = await Promise.allSettled([rage, ...Array.from({ length: CLIENTS }, work)]);
    report(strikes.history, endings);
    if (endings.some(({ status }) => status === 500)) process.stderr.write(`${errorsIn(system).join('\n')}\n`);
    for (const result of results) if (result.status === 'rejected') throw result.reason;
    const blamed = failed().filter((ending) => !excused(ending, strikes.history, name === 'standalone'));
    // With what it takes to see it again.
    expect({ blamed, strikes: blamed.length > 0 ? strikes.history : [], SEED }).toEqual({
      blamed: [],
      strikes: [],
      SEED,
    });
  });

  it('afterwards nothing is left behind, and everything is had without the upstream', async () => {
    await eventually(async () => {
      for (const { admin } of [...system.gateways, ...system.pullers])
        expect((await fetch(`${admin}/health/ready`)).status).toBe(200);
    });
    await expectNothingLeftBehind();
    // A private database that is killed may have lost the facts of its last half second; the bytes are still there.
    if (name === 'standalone') for (const image of had) await client().pull(image, true);
    const before = endings.length;
    await upstream.stop();
    try {
      for (const image of had) await client().pull(image, true);
    } finally {
      await upstream.start();
    }
    expect(endings.slice(before).filter(({ verdict }) => verdict !== 'right' && verdict !== 'left')).toEqual([]);
    upstream.requests.clear();
    const fresh = [newImage()];
    await Promise.all([0, 1, 2].map(() => client().pull(fresh[0]!)));
    await expectOneFetchOfEach(fresh);
    await expectNothingLeftBehind();
  });
});

/**
 * Nobody has to be refused for a dead puller or a dead NATS, and no running download has to break for anything but its own
 * gateway. Whoever asks while the database or the store is away may be told to come back.
 */
function excused({ verdict, status, from, until }: Ending, history: readonly Strike[], alone: boolean): boolean {
  const during = (...victims: Victim[]) =>
    history.some(
      (strike) => victims.includes(strike.victim) && strike.from <= until && from <= strike.until + RECOVERY,
    );
  if (verdict === 'wrong' || verdict === 'hung') return false;
  if (alone && during('server')) return true;
  return verdict === 'refused' && status === 503 && during('postgres', 's3');
}

/** What servers say of their own mistakes: an internal error is one, whatever was killed. */
function errorsIn({ gateways, pullers }: Installation): string[] {
  const lines = [...new Set([...gateways, ...pullers])].flatMap(({ log }) => log.split('\n'));
  return lines.filter((line) => /"level":"(error|fatal)"/.test(line)).slice(-10);
}

function report(history: readonly Strike[], endings: readonly Ending[]): void {
  const count = (items: readonly string[]) =>
    [...new Set(items)].map((item) => `${item} ${items.filter((other) => other === item).length}`).join(', ');
  const bytes = endings.reduce((sum, ending) => sum + ending.bytes, 0);
  process.stderr.write(
    `chaos: ${count(history.map(({ victim }) => victim))}; ${endings.length} requests, ${Math.round(bytes / 2 ** 20)} MiB: ` +
      `${count(endings.map(({ verdict, status }) => (verdict === 'refused' ? `refused (${status})` : verdict)))}\n`,
  );
}
