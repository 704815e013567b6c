import { setTimeout } from 'node:timers/promises';
import { SharedReads, Shelf } from './shared-reads.js';

const FILE = Buffer.from('0123456789abcdefghij');

/** A file of 20 bytes in blocks of 8, and the offsets at which it was read. */
function opened(shelf: Shelf) {
  const reads: number[] = [];
  const shared = new SharedReads(shelf, async (offset, into) => {
    reads.push(offset);
    return FILE.copy(into, 0, offset);
  });
  return { reads, shared };
}

describe('shared reads', () => {
  it('gives what follows an offset, to the end of its block or of the file', async () => {
    const { shared } = opened(new Shelf(8, 4, 2));
    const texts: string[] = [];
    for (const offset of [0, 3, 7, 8, 17, 20, 23]) {
      const lent = await shared.at(offset);
      texts.push(lent!.bytes.toString());
      lent!.give(true);
    }
    expect(texts).toEqual(['01234567', '34567', '7', '89abcdef', 'hij', '', '']);
  });

  it('reads once for readers at the same place, and for those just behind', async () => {
    const { reads, shared } = opened(new Shelf(8, 4, 2));
    const both = await Promise.all([shared.at(0), shared.at(5)]);
    for (const lent of both) lent!.give(true);
    (await shared.at(2))!.give(true);
    expect(reads).toEqual([0]);
  });

  it('overwrites no block that a reader has, and says when there is no memory left', async () => {
    const { shared } = opened(new Shelf(8, 2, 2));
    const first = await shared.at(0);
    const second = await shared.at(8);
    expect(await shared.at(16)).toBeUndefined();
    second!.give(true);
    const third = await shared.at(16);
    expect([first, third].map((lent) => lent!.bytes.toString())).toEqual(['01234567', 'ghij']);
    expect(await shared.at(8)).toBeUndefined();
  });

  it('shares its memory between files', async () => {
    const shelf = new Shelf(8, 1, 1);
    const [one, other] = [opened(shelf), opened(shelf)];
    (await one.shared.at(0))!.give(true);
    (await other.shared.at(8))!.give(true);
    (await one.shared.at(0))!.give(true);
    expect([one.reads, other.reads]).toEqual([[0, 0], [8]]);
  });

  it('uses no block again that somebody may still have', async () => {
    const { reads, shared } = opened(new Shelf(8, 1, 1));
    const broken = await shared.at(0);
    const bytes = broken!.bytes;
    const beside = await shared.at(0);
    broken!.give(false);
    // Counts for nothing any more, although the other reader still has it.
    const next = await shared.at(8);
    expect([next!.bytes.toString(), bytes.toString(), beside!.bytes.toString()]).toEqual([
      '89abcdef',
      '01234567',
      '01234567',
    ]);
    beside!.give(true);
    next!.give(true);
    (await shared.at(0))!.give(true);
    expect([bytes.toString(), reads]).toEqual(['01234567', [0, 8, 0]]);
  });

  it('fails all readers of a failed read, and reads anew for the next', async () => {
    let failing = true;
    const shared = new SharedReads(new Shelf(8, 1, 1), async (offset, into) => {
      if (failing) throw new Error('EIO');
      return FILE.copy(into, 0, offset);
    });
    const results = await Promise.allSettled([shared.at(0), shared.at(4)]);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    failing = false;
    expect((await shared.at(0))!.bytes.toString()).toBe('01234567');
  });

  it('lets go of blocks that nobody wants for a while', async () => {
    const { reads, shared } = opened(new Shelf(8, 2, 2));
    (await shared.at(0))!.give(true);
    await setTimeout(400);
    (await shared.at(0))!.give(true);
    expect(reads).toEqual([0, 0]);
  });
});
