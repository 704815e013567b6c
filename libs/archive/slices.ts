import type { FileHandle } from 'node:fs/promises';

/** A tenth of the time that 64 KiB take, most of which would be the collector's. */
const SLICE = 2 ** 20;
/** One with whoever works on it, one in the tar reader, one being read, one to spare. */
const RING = 4;

/** A file from its beginning, the next slice being read meanwhile. `reused`: a slice is good until the next but one is asked for. */
export async function* slicesOf(file: FileHandle, reused: boolean): AsyncGenerator<Buffer> {
  const ring: Buffer[] = [];
  const read = (n: number, at: number) => {
    const buffer = (reused ? ring[n % RING] : undefined) ?? Buffer.allocUnsafeSlow(SLICE);
    ring[n % RING] = buffer;
    const reading = file.read(buffer, 0, SLICE, at);
    // Nobody waits for it when the reader leaves.
    reading.catch(() => {});
    return reading;
  };
  let at = 0;
  let next = read(0, at);
  for (let n = 1; ; n++) {
    const { buffer, bytesRead } = await next;
    if (bytesRead === 0) return;
    at += bytesRead;
    next = read(n, at);
    yield buffer.subarray(0, bytesRead);
  }
}
