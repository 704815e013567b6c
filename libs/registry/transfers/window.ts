/**
 * The latest bytes of a transfer in memory, so that readers at the frontier are fed without a read of the spool.
 * Holds whole chunks; forgets the oldest when more than `limit` bytes are held and they are on disk.
 */
export class Window {
  private readonly chunks: { offset: number; bytes: Buffer; durable: boolean }[] = [];
  private held = 0;

  constructor(private readonly limit: number) {}

  /** Returns the function that marks the chunk as written to the spool. */
  add(offset: number, bytes: Buffer): () => void {
    const chunk = { offset, bytes, durable: false };
    this.chunks.push(chunk);
    this.held += bytes.length;
    return () => {
      chunk.durable = true;
      this.trim();
    };
  }

  /** The bytes at `offset`, as long as one chunk goes; undefined when they are not held. */
  at(offset: number): Buffer | undefined {
    // Newest first: readers at the frontier are the common case.
    for (let i = this.chunks.length - 1; i >= 0; i--) {
      const { offset: start, bytes } = this.chunks[i]!;
      if (offset >= start && offset < start + bytes.length) return bytes.subarray(offset - start);
    }
    return undefined;
  }

  clear(): void {
    this.chunks.length = 0;
    this.held = 0;
  }

  private trim(): void {
    while (this.held > this.limit && this.chunks[0]?.durable) this.held -= this.chunks.shift()!.bytes.length;
  }
}
