import { SpoolRoom } from './room.js';

const MiB = 2 ** 20;

/** Which of `promises` have resolved after everything that is due was done. */
async function settled(promises: Promise<unknown>[]): Promise<boolean[]> {
  const done = promises.map(() => false);
  for (const [at, promise] of promises.entries())
    void promise.then(() => {
      done[at] = true;
    });
  await new Promise(setImmediate);
  return done;
}

describe('SpoolRoom', () => {
  it('lets those wait that it has no room for, in the order of arrival', async () => {
    const room = new SpoolRoom(100 * MiB);
    const first = await room.take(60 * MiB);
    const others = [room.take(50 * MiB), room.take(30 * MiB)];
    expect(await settled(others)).toEqual([false, false]);
    first.release();
    first.release();
    expect(await settled(others)).toEqual([true, true]);
    const last = room.take(30 * MiB);
    expect(await settled([last])).toEqual([false]);
    (await (others[1] as (typeof others)[0])).release();
    expect(await settled([last])).toEqual([true]);
  });

  it('gives all of it to one that is larger, or of unknown size, once that is alone', async () => {
    const room = new SpoolRoom(100 * MiB);
    const small = await room.take(10 * MiB);
    const large = [room.take(2 ** 40), room.take(undefined)];
    expect(await settled(large)).toEqual([false, false]);
    small.release();
    const first = await large[0]!;
    // Two parts of an upload of a TiB in 10,000 parts.
    expect(first.window).toBeGreaterThanOrEqual(2 * Math.ceil(2 ** 40 / 10_000));
    expect(await settled([large[1]!])).toEqual([false]);
    first.release();
    expect((await large[1]!).window).toBe(96 * MiB);
  });

  it('does not count what is small, and lets go who gives up', async () => {
    const room = new SpoolRoom(64 * MiB);
    const all = await room.take(64 * MiB);
    await room.take(MiB);
    const stop = new AbortController();
    const waiting = room.take(2 * MiB, stop.signal);
    const behind = room.take(2 * MiB);
    stop.abort(new Error('gone'));
    await expect(waiting).rejects.toThrow('gone');
    expect(await settled([behind])).toEqual([false]);
    all.release();
    await behind;
  });
});
