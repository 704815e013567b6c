import { type Ingest, type Lent, SharedReads, Shelf } from '#blobs';

/** Of all transfers of a process. 256 KiB are four times what a connection brings at once; 32 MiB with readers, 4 MiB without. */
const shelf = new Shelf(256 * 1024, 128, 16);

/** Readers that are behind the bytes in memory read the spool, in blocks which those at about the same place share. */
export class Laggards {
  private readonly shared: SharedReads;

  constructor(
    private readonly ingest: Ingest,
    /** Bytes of the blob, once they are known. */
    private readonly size: () => number | undefined,
  ) {
    this.shared = new SharedReads(shelf, (offset, into) => this.fill(offset, into));
  }

  /** Undefined when the block is not complete, may be overwritten, or when there is no memory for it. */
  async at(offset: number): Promise<Lent | undefined> {
    const { ingest } = this;
    const size = this.size();
    if (size === undefined || ingest.windowed || ingest.full) return undefined;
    const start = offset - (offset % shelf.size);
    if (ingest.runAt(start) < Math.min(shelf.size, size - start)) return undefined;
    return this.shared.at(offset);
  }

  /** All of a small blob. */
  async whole(size: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafeSlow(size);
    await this.fill(0, bytes);
    return bytes;
  }

  private async fill(offset: number, into: Buffer): Promise<number> {
    const whole = Math.min(into.length, this.size()! - offset);
    let length = 0;
    while (length < whole) {
      const count = await this.ingest.read(offset + length, into.subarray(length, whole));
      // It has left the spool in the meantime.
      if (count === 0) break;
      length += count;
    }
    return length;
  }
}
