import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tarStream } from '#archive';
import type { Archive } from '#registry';
import { Inbox } from './inbox.js';

const MiB = 2 ** 20;
const LINK = '0b5e3c6e-6d0b-4c8e-9a55-0c8f3a1f2d11';

describe('the inbox', () => {
  let directory: string;
  let inbox: Inbox;
  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'inbox-'));
    inbox = new Inbox(join(directory, 'inbox'));
    await inbox.open();
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const linked = (target: string) => {
    rmSync(join(inbox.path, LINK), { force: true });
    symlinkSync(target, join(inbox.path, LINK));
    const { ino, size } = statSync(target);
    return { inode: String(ino), size };
  };
  /** Sums of the bytes of each member, which are read chunk by chunk. */
  const sums = async (archive: Archive | undefined) => {
    const found: [string, number, number][] = [];
    for await (const { path, size, body } of archive!) {
      let [length, sum] = [0, 0];
      for await (const chunk of body) {
        length += chunk.length;
        sum = chunk.reduce((a, b) => (a + b) % 65_521, sum);
      }
      expect(length).toBe(size);
      found.push([path, length, sum]);
    }
    return found;
  };
  /** Larger than the buffers that are used again, and not a multiple of them. */
  const members = [
    ['a/large', Buffer.from(Uint8Array.from({ length: 11 * MiB + 13 }, (_, i) => (i * 7 + (i >> 12)) % 251))],
    ['b', Buffer.from('small')],
    ['c', Buffer.alloc(0)],
    ['d', Buffer.alloc(2 * MiB, 3)],
  ] as const;
  const expected = members.map(([path, bytes]) => [path, bytes.length, bytes.reduce((a, b) => (a + b) % 65_521, 0)]);

  it('reads a tar and a directory in place', async () => {
    const layout = join(directory, 'layout');
    mkdirSync(join(layout, 'a'), { recursive: true });
    for (const [path, bytes] of members) writeFileSync(join(layout, path), bytes);
    expect(await sums(await inbox.read(LINK, linked(layout)))).toEqual(expected);
    const tar = join(directory, 'x.tar');
    const packed = async function* () {
      for (const [path, bytes] of members) yield { path, size: bytes.length, body: [bytes] as never };
    };
    writeFileSync(tar, Buffer.concat(await tarStream(packed()).toArray()));
    expect(await sums(await inbox.read(LINK, linked(tar)))).toEqual(expected);
    expect(inbox.bytesRead(LINK)).toBeUndefined();
  });

  it('tells how far it is', async () => {
    const file = join(directory, 'layout');
    mkdirSync(file);
    writeFileSync(join(file, 'x'), Buffer.alloc(3 * MiB));
    const archive = await inbox.read(LINK, linked(file));
    for await (const { body } of archive!) {
      for await (const _ of body) break;
      expect(inbox.bytesRead(LINK)).toBe(MiB);
    }
  });

  it('reads nothing but what the sender saw', async () => {
    const file = join(directory, 'x');
    writeFileSync(file, 'x');
    const seen = linked(file);
    expect(await inbox.read('another', seen)).toBeUndefined();
    expect(await inbox.read(LINK, { ...seen, size: 2 })).toBeUndefined();
    expect(await inbox.read(LINK, { ...seen, inode: '1' })).toBeUndefined();
    rmSync(file);
    expect(await inbox.read(LINK, seen)).toBeUndefined();
  });

  it('is not used where others can put something in', async () => {
    const file = join(directory, 'x');
    writeFileSync(file, 'x');
    chmodSync(inbox.path, 0o770);
    const open = new Inbox(inbox.path);
    await expect(open.open()).rejects.toThrow('not for this user alone');
    expect(await open.read(LINK, linked(file))).toBeUndefined();
  });
});
