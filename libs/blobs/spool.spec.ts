import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { SpoolFile } from './spool.js';

const MiB = 2 ** 20;

describe('a spool file with a window', () => {
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(path.join(tmpdir(), 'blobs-spool-'));
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  it('keeps writers waiting until older bytes may go, and is never longer', async () => {
    const file = path.join(root, 'spool');
    const spool = new SpoolFile(file, MiB);
    const bytes = Buffer.alloc(3 * MiB);
    for (let at = 0; at < bytes.length; at += 4) bytes.writeUInt32BE(at, at);
    let written = 0;
    const writing = (async () => {
      for (let at = 0; at < bytes.length; at += 65_536) {
        await spool.write(at, bytes.subarray(at, at + 65_536), () => {});
        written = at + 65_536;
      }
    })();
    for (let goes = 0; goes <= 2 * MiB; goes += 256 * 1024) {
      spool.mayGo(goes);
      while (written < goes + MiB) await new Promise(setImmediate);
      for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
      expect(written).toBe(goes + MiB);
      const from = Math.max(goes, spool.start);
      const back = Buffer.alloc(goes + MiB - from);
      await spool.readFully(from, back);
      expect(back.equals(bytes.subarray(from, goes + MiB))).toBe(true);
      if (spool.start > 0) expect(await spool.read(spool.start - 1, Buffer.alloc(1))).toBe(0);
    }
    await writing;
    await spool.flush();
    expect((await stat(file)).size).toBe(MiB);
    await spool.unlink();
    await spool.close();
  });

  it('lets a waiting writer go when it fails or is closed', async () => {
    for (const end of [(spool: SpoolFile) => spool.fail(new Error('no')), (spool: SpoolFile) => void spool.close()]) {
      const spool = new SpoolFile(path.join(root, `spool-${Math.random()}`), MiB);
      const writing = spool.write(0, Buffer.alloc(2 * MiB), () => {});
      await new Promise(setImmediate);
      end(spool);
      await expect(writing).rejects.toThrow();
      await spool.close();
    }
  });
});
