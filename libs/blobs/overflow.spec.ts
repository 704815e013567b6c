import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Overflow, OverflowRoom } from './overflow.js';
import { SpoolFile } from './spool.js';

const MiB = 2 ** 20;
const PIECE = 64 * 1024;
const full = () => Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });

describe('a spool file on a disk that has become full', () => {
  let root: string;
  let file: string;
  let told: unknown[];
  let spool: SpoolFile;
  const bytes = Buffer.alloc(40 * MiB);
  for (let at = 0; at < bytes.length; at += 4) bytes.writeUInt32BE(at, at);
  beforeEach(async () => {
    root = await mkdtemp(path.join(tmpdir(), 'blobs-overflow-'));
    file = path.join(root, 'spool');
    told = [];
    spool = new SpoolFile(file, undefined, bytes.length, (error) => told.push(error));
  });
  afterEach(async () => {
    await spool.close();
    await rm(root, { recursive: true, force: true });
  });

  const write = async (from: number, to: number) => {
    for (let at = from; at < to; at += PIECE) await spool.write(at, bytes.subarray(at, at + PIECE), () => {});
  };
  const expectBytes = async (from: number, to: number) => {
    const back = Buffer.alloc(to - from);
    await spool.readFully(from, back);
    expect(back.equals(bytes.subarray(from, to))).toBe(true);
  };

  it('keeps what comes in memory and what is in the file readable, until readers have had it', async () => {
    await write(0, 4 * MiB);
    spool.fail(full());
    expect(told).toHaveLength(1);
    let written = 0;
    const writing = write(4 * MiB, bytes.length).then(() => {
      written = bytes.length;
    });
    const settled = async () => {
      for (let before = -1; before !== spool.frontier; ) {
        before = spool.frontier;
        for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
      }
    };
    await settled();
    // Half of what one may hold: nobody has read anything.
    const held = spool.frontier - 4 * MiB;
    expect(held).toBeGreaterThanOrEqual(8 * MiB);
    expect(held).toBeLessThanOrEqual(9 * MiB);
    await expectBytes(0, spool.frontier);
    for (let goes = 6 * MiB; written < bytes.length; goes += 2 * MiB) {
      spool.mayGo(goes);
      await settled();
      expect(spool.start).toBeLessThanOrEqual(goes);
      // The other half stays for who is a little behind.
      if (spool.start > 0) expect(spool.frontier - spool.start).toBeLessThanOrEqual(17 * MiB);
      expect(goes - spool.start).toBeGreaterThanOrEqual(Math.min(goes, 7 * MiB));
      await expectBytes(spool.start, spool.frontier);
    }
    await writing;
    expect(spool.start).toBeGreaterThan(4 * MiB);
    expect(await spool.read(spool.start - 1, Buffer.alloc(1))).toBe(0);
    expect([spool.runAt(0), spool.runAt(spool.start)]).toEqual([0, bytes.length - spool.start]);
    // What nobody needs any more takes no room of the disk that is full.
    expect((await stat(file)).size).toBe(0);
    await expect(spool.flush()).rejects.toMatchObject({ code: 'ENOSPC' });
    expect(told).toHaveLength(1);
  });

  it('takes bytes in order, and those that came before out of order', async () => {
    await spool.write(8 * MiB, bytes.subarray(8 * MiB, 8 * MiB + 100_000), () => {});
    await write(0, MiB);
    spool.fail(full());
    const ahead = spool.write(3 * MiB, bytes.subarray(3 * MiB, 3 * MiB + PIECE), () => {});
    await write(MiB, 3 * MiB);
    await ahead;
    await write(3 * MiB, 8 * MiB);
    await expectBytes(0, 8 * MiB + 100_000);
  });

  it('fails as before on trouble of another kind', async () => {
    spool.fail(Object.assign(new Error('broken'), { code: 'EIO' }));
    await expect(write(0, PIECE)).rejects.toThrow('broken');
    expect(told).toEqual([]);
  });
});

it('what full disks leave in memory is bounded for all together, and each goes on', () => {
  const room = new OverflowRoom();
  const fill = () => {
    const overflow = new Overflow<{ offset: number; length: number }>(full(), room, () => {});
    let end = 0;
    for (; overflow.takes(end, 0); end += MiB) overflow.add({ offset: end, length: MiB });
    return { overflow, end };
  };
  const all = Array.from({ length: 10 }, fill);
  expect(all.map(({ end }) => end / MiB)).toEqual([8, 8, 8, 8, 8, 8, 8, 8, 2, 2]);
  for (const { overflow } of all) overflow.clear();
  expect(room.used).toBe(0);
});
