import { BufferPool } from './buffers.js';

/**
 * Bodies arrive in pieces of 16 to 64 KiB, and a trip through the thread pool per piece bounds a transfer to about
 * 0.3 GB/s; gathered into blocks of this size it is five times that.
 */
export const BLOCK = 256 * 1024;
const SMALL = BLOCK / 2;
const blocks = new BufferPool(BLOCK, 256);

/** Written bytes that are not in the file yet. */
export interface Extent {
  readonly offset: number;
  readonly room: number;
  length: number;
  readonly buffer: Buffer;
  readonly pooled: boolean;
}

/** From `offset` to the next boundary, so that the following ones are aligned to pages. `size` in bytes, of the whole blob. */
export function newExtent(offset: number, size?: number): Extent {
  // A small blob needs no block; of many at a time the blocks would be most of this process's memory.
  const small = size !== undefined && size <= SMALL;
  const buffer = small ? undefined : blocks.take();
  return {
    offset,
    room: BLOCK - (offset % BLOCK),
    length: 0,
    buffer: buffer ?? Buffer.allocUnsafeSlow(small ? size : BLOCK),
    pooled: buffer !== undefined,
  };
}

export function recycle(extent: Extent): void {
  if (extent.pooled) blocks.give(extent.buffer);
}
