import { execFileSync, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import zlib from 'node:zlib';
import { pack } from 'tar-stream';
import { readTar } from './read-tar.js';

const LIMITS = { maxRatio: 200, ratioFrom: 4 * 2 ** 20, maxEntries: 1000 };

async function tarOf(members: Record<string, Buffer>): Promise<Buffer> {
  const archive = pack();
  for (const [name, bytes] of Object.entries(members)) archive.entry({ name }, bytes);
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

async function read(bytes: Buffer, portableZstd: boolean, chunk = 64 * 1024): Promise<Record<string, string>> {
  const pieces = function* () {
    for (let at = 0; at < bytes.length; at += chunk) yield bytes.subarray(at, at + chunk);
  };
  const found: Record<string, string> = {};
  for await (const { path, body } of readTar(Readable.from(pieces()), { ...LIMITS, portableZstd })) {
    const chunks: Buffer[] = [];
    for await (const piece of body) chunks.push(piece);
    found[path] = sha(Buffer.concat(chunks));
  }
  return found;
}

const sha = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const shas = (members: Record<string, Buffer>) =>
  Object.fromEntries(Object.entries(members).map(([name, bytes]) => [name, sha(bytes)]));

/** RFC 8878: a frame whose blocks are written out, or repeat one byte; every decoder reads it. */
function frame(blocks: readonly (Buffer | { readonly byte: number; readonly times: number })[], window = 0x50): Buffer {
  const parts = blocks.map((block, index) => {
    const raw = Buffer.isBuffer(block);
    const head = Buffer.alloc(3);
    const size = raw ? block.length : block.times;
    head.writeUIntLE((size << 3) | (raw ? 0 : 2) | (index === blocks.length - 1 ? 1 : 0), 0, 3);
    return Buffer.concat([head, raw ? block : Buffer.from([block.byte])]);
  });
  return Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, window]), ...parts]);
}

const inBlocks = (bytes: Buffer) =>
  Array.from({ length: Math.ceil(bytes.length / 100_000) }, (_, n) => bytes.subarray(n * 100_000, (n + 1) * 100_000));
const hasProgram = spawnSync('zstd', ['--version']).status === 0;
const native = 'createZstdDecompress' in zlib;

describe.each([['portable', true], ...(native ? [['of Node.js', false] as const] : [])] as const)(
  'zstd, %s',
  (_, portable) => {
    const members = { 'a.txt': Buffer.from('hello'), 'b/c': randomBytes(700_000), d: Buffer.alloc(400_000, 'abc') };

    it.each([64 * 1024, 1000, 7])('is taken off, in pieces of %d bytes', async (chunk) => {
      const small = { 'a.txt': Buffer.from('hello'), d: Buffer.alloc(30_000, 'abc') };
      const tar = await tarOf(chunk < 100 ? small : members);
      expect(await read(frame(inBlocks(tar)), portable, chunk)).toEqual(shas(chunk < 100 ? small : members));
    });

    (hasProgram ? it : it.skip).each(['-1', '-19', '--ultra -22 --long=27'])(
      'as the program writes it: %s',
      async (level) => {
        const options = { input: await tarOf(members), maxBuffer: 2 ** 28 };
        expect(await read(execFileSync('zstd', ['-c', ...level.split(' ')], options), portable)).toEqual(shas(members));
      },
    );

    it('is refused when it is cut off', async () => {
      const whole = frame(inBlocks(await tarOf(members)));
      await expect(read(whole.subarray(0, 500_000), portable)).rejects.toMatchObject({
        status: 400,
        message: 'the archive is cut off',
      });
    });

    it('is refused when it is damaged', async () => {
      const whole = frame(inBlocks(await tarOf(members)));
      // The first block gets a type that does not exist.
      whole[6]! |= 6;
      await expect(read(whole, portable)).rejects.toMatchObject({
        status: 400,
        message: expect.stringContaining('damaged'),
      });
    });

    it('is refused when it is a bomb', async () => {
      const tar = await tarOf({ zeros: Buffer.alloc(1000) });
      tar.write(`${(8 ** 10).toString(8).padStart(11, '0')}\0`, 124);
      tar.fill(0x20, 148, 156);
      const sum = tar.subarray(0, 512).reduce((total, byte) => total + byte, 0);
      tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
      const zeros = Array.from({ length: 2000 }, () => ({ byte: 0, times: 128 * 1024 }));
      const bomb = frame([tar.subarray(0, 512), ...zeros]);
      expect(bomb.length).toBeLessThan(10_000);
      await expect(read(bomb, portable)).rejects.toMatchObject({
        status: 400,
        message: 'the archive unpacks to more than 200 times its size',
      });
    });

    it('is refused when it wants too much memory', async () => {
      const greedy = frame([await tarOf({ a: Buffer.from('a') })], 0xa8);
      await expect(read(greedy, portable)).rejects.toMatchObject({ status: 400 });
    });
  },
);
