import { BufferPool } from './buffers.js';

/** Milliseconds that a block waits for a next reader. */
const REST_MS = 100;

interface Block {
  readonly buffer: Buffer;
  readonly home: Map<number, Block>;
  readonly index: number;
  /** Bytes that the read brought. */
  readonly filled: Promise<number>;
  readers: number;
  /** Somebody may be using it for ever. */
  lost: boolean;
  idleSince: number;
}

/** A block for one reader, until it is given back. */
export interface Lent {
  /** From the asked offset to the end of the block or of the file; empty behind its end. Not to be written to. */
  readonly bytes: Buffer;
  /** `used`: nobody reads them any more. False when that is not known, as after an error: the buffer is then left to the collector. */
  give(used: boolean): void;
}

/** The memory of `SharedReads`: at most `most` blocks of `size` bytes with readers, and of those at most `keep` without. */
export class Shelf {
  private readonly pool: BufferPool;
  /** Oldest first. */
  private readonly idle = new Set<Block>();
  private trimming: NodeJS.Timeout | undefined;

  constructor(
    readonly size: number,
    most: number,
    private readonly keep: number,
  ) {
    this.pool = new BufferPool(size, most);
  }

  take(): Buffer | undefined {
    const buffer = this.pool.take();
    if (buffer || this.idle.size === 0) return buffer;
    const [oldest] = this.idle;
    this.unhouse(oldest!);
    return oldest!.buffer;
  }

  wake(block: Block): void {
    this.idle.delete(block);
  }

  rest(block: Block): void {
    block.idleSince = Date.now();
    this.idle.add(block);
    if (this.idle.size > this.keep) this.drop([...this.idle].slice(0, 1));
    this.trimming ??= setTimeout(() => this.trim(), REST_MS).unref();
  }

  lose(): void {
    this.pool.lose();
  }

  private trim(): void {
    this.trimming = undefined;
    const before = Date.now() - REST_MS;
    this.drop([...this.idle].filter(({ idleSince }) => idleSince <= before));
    if (this.idle.size > 0) this.trimming = setTimeout(() => this.trim(), REST_MS).unref();
  }

  private drop(blocks: readonly Block[]): void {
    for (const block of blocks) {
      this.unhouse(block);
      this.pool.give(block.buffer);
    }
  }

  private unhouse(block: Block): void {
    this.idle.delete(block);
    block.home.delete(block.index);
  }
}

/**
 * Reads of one file in blocks, which readers at about the same place share: a rollout reads a layer a hundred times at once. One read
 * then serves them all, and their bytes come from the processor's cache. What is read must not change.
 */
export class SharedReads {
  private readonly blocks = new Map<number, Block>();

  /** `read` fills a buffer from an offset on, as far as the file goes, and resolves with how many bytes that were. */
  constructor(
    private readonly shelf: Shelf,
    private readonly read: (offset: number, into: Buffer) => Promise<number>,
  ) {}

  /** Undefined when all memory is with readers: a slow client may hold a block for as long as it likes. Rejects as `read` does. */
  async at(offset: number): Promise<Lent | undefined> {
    const { size } = this.shelf;
    const index = Math.floor(offset / size);
    const block = this.blocks.get(index) ?? this.open(index);
    if (!block) return undefined;
    this.shelf.wake(block);
    block.readers++;
    const give = (used: boolean) => this.leave(block, used);
    try {
      const length = await block.filled;
      return { bytes: block.buffer.subarray(offset - index * size, Math.max(length, offset - index * size)), give };
    } catch (error) {
      give(false);
      throw error;
    }
  }

  private open(index: number): Block | undefined {
    const buffer = this.shelf.take();
    if (!buffer) return undefined;
    const filled = this.read(index * this.shelf.size, buffer);
    const block = { buffer, home: this.blocks, index, filled, readers: 0, lost: false, idleSince: 0 };
    this.blocks.set(index, block);
    return block;
  }

  private leave(block: Block, used: boolean): void {
    block.readers--;
    if (!used && !block.lost) {
      block.lost = true;
      // Later readers must not get a failed read, nor wait for what is not counted any more.
      if (this.blocks.get(block.index) === block) this.blocks.delete(block.index);
      this.shelf.lose();
    }
    if (block.readers === 0 && !block.lost) this.shelf.rest(block);
  }
}
