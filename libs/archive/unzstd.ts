import { Decompress } from 'fzstd';
import { Failure } from '#oci';
import { badArchive } from '#registry';

/** What one slice can unpack to is bounded by the blocks in it: at most 128 KiB for every 4 bytes. */
const SLICE = 512;
/** As zstd's own default for untrusted input (`--long=27`). */
const MAX_WINDOW = 128 * 2 ** 20;
const HEADER = 18;

/** Takes zstd off where Node.js cannot (before 22.15). Checksums are not looked at: what is inside has digests. */
export async function* unzstd(
  source: AsyncIterable<Buffer>,
  counter: { bytesWritten: number },
): AsyncGenerator<Buffer, void, undefined> {
  let ready: Buffer[] = [];
  const decoder = new Decompress((block) => {
    if (block.length > 0) ready.push(Buffer.from(block.buffer, block.byteOffset, block.length));
  });
  const push = (bytes: Uint8Array, last = false) => {
    try {
      decoder.push(bytes, last);
    } catch (error) {
      if (error instanceof Failure) throw error;
      const { message } = error as Error;
      throw badArchive(
        /EOF/i.test(message) ? 'the archive is cut off' : `the compressed archive is damaged: ${message}`,
        error,
      );
    }
    const blocks = ready;
    ready = [];
    return blocks;
  };
  let head = Buffer.alloc(0);
  for await (const chunk of source) {
    if (head.length < HEADER) {
      head = Buffer.concat([head, chunk.subarray(0, HEADER)]);
      checkWindow(head);
    }
    for (let at = 0; at < chunk.length; at += SLICE) {
      const slice = chunk.subarray(at, at + SLICE);
      counter.bytesWritten += slice.length;
      yield* push(slice);
    }
  }
  yield* push(Buffer.alloc(0), true);
}

/** RFC 8878, section 3.1.1.1. The decoder takes as much memory as the frame's header asks for. */
function checkWindow(head: Buffer): void {
  if (head.length < HEADER) return;
  const descriptor = head[4]!;
  const single = (descriptor >> 5) & 1;
  let window: number;
  if (single === 0) {
    const base = 2 ** (10 + (head[5]! >> 3));
    window = base + (base / 8) * (head[5]! & 7);
  } else {
    const dictionary = [0, 1, 2, 4][descriptor & 3]!;
    const bytes = [1, 2, 4, 8][descriptor >> 6]!;
    const at = 5 + dictionary;
    window = bytes === 8 ? Number(head.readBigUInt64LE(at)) : head.readUIntLE(at, bytes) + (bytes === 2 ? 256 : 0);
  }
  if (window > MAX_WINDOW)
    throw badArchive(`the compressed archive asks for ${window} bytes of memory; at most ${MAX_WINDOW} are given`);
}
