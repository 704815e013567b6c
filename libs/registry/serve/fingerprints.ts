import { crc32 } from 'node:zlib';
import type { Sink, Span } from '#blobs';
import type { Fingerprint } from '../ports.js';

type Read = (span: Span, sink: Sink) => Promise<void>;

// Many clients go on at once after a puller's death; they share one comparison.
const running = new WeakMap<Fingerprint, Promise<boolean>>();

/** Whether every block of `fingerprint` is what `read` gives of the verified blob of `size` bytes. */
export function matches(fingerprint: Fingerprint, size: number, read: Read): Promise<boolean> {
  let result = running.get(fingerprint);
  if (!result) {
    result = compare(fingerprint, size, read);
    running.set(fingerprint, result);
    result.catch(() => running.delete(fingerprint));
  }
  return result;
}

async function compare({ blockSize, blocks }: Fingerprint, size: number, read: Read): Promise<boolean> {
  for (const [index, { length, crc }] of blocks) {
    const offset = index * blockSize;
    if (offset + length > size) return false;
    let sum = 0;
    const sink: Sink = {
      write: (chunk) => {
        sum = crc32(chunk, sum);
      },
    };
    await read({ offset, length }, sink);
    if (sum !== crc) return false;
  }
  return true;
}
