import type { Listing } from '#catalog';
import { type Descriptor, type Digest, Failure } from '#oci';
import type { PullRequest } from '../pulls/pull-waits.js';
import { Asking } from './asking.js';
import { FactCache } from './fact-cache.js';
import { Lists } from './lists.js';

const SECOND = 1000;
const repository = { upstream: 'registry.test', path: 'a/b' };
const subject: Digest = `sha256:${'1'.repeat(64)}`;
const referrer: Descriptor = { mediaType: 'a/b', digest: `sha256:${'2'.repeat(64)}`, size: 1 };

/** Lists over a catalog that holds `tags` or `referrers`, and an upstream that answers with `after` or fails. */
function over(now: Listing<unknown>, after: Listing<unknown> | Failure = now, airGapped = false) {
  const waited: PullRequest[] = [];
  const behind: PullRequest[] = [];
  let held = now;
  const find = async () => held;
  const waits = {
    wait: async (request: PullRequest) => {
      waited.push(request);
      if (after instanceof Failure) throw after;
      held = after;
      return { state: 'stored', shared: false };
    },
    request: async (request: PullRequest) => void behind.push(request),
  };
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const facts = new FactCache({ manifestBytes: 1000, blobBytes: 1000, tagTtl: 1, negativeTtl: 60_000, retryAfter: 1 });
  const lists = new Lists({ findTags: find, findReferrers: find } as never, new Asking(waits as never, facts, log), {
    airGapped,
    rule: { fresh: 60 * SECOND, stale: 600 * SECOND },
    emptyFor: 10 * SECOND,
  });
  return { lists, waited, behind };
}

const aged = <T>(entries: readonly T[], age: number): Listing<T> => ({ listed: { entries, age }, held: [] });
const none = { held: [] };

describe('A105: how long a list is believed', () => {
  it('fresh, it is the answer; stale, it is asked for behind the client; expired, before', async () => {
    for (const [age, waits, behinds] of [
      [60 * SECOND, 0, 0],
      [61 * SECOND, 0, 1],
      [601 * SECOND, 1, 0],
    ] as const) {
      const { lists, waited, behind } = over(aged(['v1'], age), aged(['v1', 'v2'], 0));
      expect((await lists.tags(repository, {})).entries).toEqual(waits ? ['v1', 'v2'] : ['v1']);
      expect([age, waited.length, behind.length]).toEqual([age, waits, behinds]);
    }
  });

  it('behind the client it is a background pull, which leaves a younger list as it is', async () => {
    const { lists, behind } = over(aged(['v1'], 61 * SECOND));
    await lists.tags(repository, {});
    expect(behind).toMatchObject([{ lane: 'background', cause: 'revalidate', maxAge: 60 * SECOND }]);
  });

  it('A113: a list of no referrers is believed for seconds only', async () => {
    for (const [entries, age, waits] of [
      [[], 10 * SECOND, 0],
      [[], 11 * SECOND, 1],
      [[referrer], 11 * SECOND, 0],
    ] as const) {
      const { lists, waited } = over(aged(entries, age), aged([referrer], 0));
      await lists.referrers(repository, subject, {});
      expect([entries.length, age, waited.length]).toEqual([entries.length, age, waits]);
    }
  });
});

describe('when the upstream cannot be asked', () => {
  const trouble = new Failure('UPSTREAM_TIMEOUT');

  it('what is held and what it said last are the answer, with a Warning', async () => {
    const { lists } = over({ listed: { entries: ['v2'], age: 700 * SECOND }, held: ['v1', 'v2'] }, trouble);
    expect(await lists.tags(repository, {})).toMatchObject({ entries: ['v1', 'v2'], warning: expect.any(String) });
  });

  it('nothing known is no empty list', async () => {
    const { lists } = over(none, trouble);
    await expect(lists.referrers(repository, subject, {})).rejects.toMatchObject({ reason: 'UPSTREAM_TIMEOUT' });
  });

  it('its "no" is an answer, and is not asked for again at once', async () => {
    const { lists, waited } = over(aged(['v1'], 700 * SECOND), new Failure('NAME_UNKNOWN'));
    for (let n = 0; n < 2; n++)
      await expect(lists.tags(repository, {})).rejects.toMatchObject({ reason: 'NAME_UNKNOWN' });
    expect(waited.length).toBe(1);
  });

  it('air-gapped, nobody is asked: what is held, and a repository that holds nothing is unknown', async () => {
    const { lists, waited } = over({ listed: { entries: ['v2'], age: 700 * SECOND }, held: ['v1'] }, trouble, true);
    expect(await lists.tags(repository, {})).toMatchObject({ entries: ['v1', 'v2'] });
    expect(waited).toEqual([]);
    await expect(over(none, trouble, true).lists.tags(repository, {})).rejects.toMatchObject({
      reason: 'NAME_UNKNOWN',
    });
  });
});
