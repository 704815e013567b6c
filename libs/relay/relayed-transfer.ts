import { unless } from '#async';
import type { Sink, Span } from '#blobs';
import type { RelayAddress } from '#bus';
import type { Fingerprint, ReadOptions, RunningTransfer } from '#registry';
import type { RelayConnections } from './connections.js';
import { BLOCK, RelayStream } from './relay-stream.js';

/**
 * One transfer of another process, read by the clients of this one. Readers close to each other share a stream; who
 * falls behind its window, or starts elsewhere, gets a stream of his own, so a slow client costs one window and nobody's time.
 */
export class RelayedTransfer implements RunningTransfer {
  private readonly streams = new Set<RelayStream>();
  private readonly blocks = new Map<number, { length: number; crc: number }>();
  /** Of `blocks` as they were when it was last asked for; readers that leave together get the same one. */
  private print: Fingerprint | undefined;
  private readers = 0;

  constructor(
    private readonly address: RelayAddress,
    private readonly total: number,
    private readonly connections: RelayConnections,
    private readonly idleTimeout: number,
    private readonly onUnread: () => void,
  ) {}

  async size(): Promise<number> {
    return this.total;
  }

  fingerprint(): Fingerprint {
    this.print ??= { blockSize: BLOCK, blocks: new Map(this.blocks) };
    return this.print;
  }

  async read(span: Span, sink: Sink, options: ReadOptions = {}): Promise<void> {
    const { signal } = options;
    const end = span.offset + span.length;
    let position = span.offset;
    let stream: RelayStream | undefined;
    this.readers++;
    try {
      while (position < end) {
        if (!stream?.covers(position)) {
          // Fallen out of the window: another stream will do. Broken: the caller has to look elsewhere.
          if (stream?.broken) throw stream.broken;
          stream?.leave();
          stream = this.join(position, end, options.bounded === true);
        }
        const chunk = stream.at(position, end);
        if (!chunk) {
          await unless(signal, stream.next(position));
          continue;
        }
        position += chunk.length;
        const flushed = sink.write(chunk);
        if (flushed) await unless(signal, flushed);
        else signal?.throwIfAborted();
      }
    } finally {
      stream?.leave();
      if (--this.readers === 0) this.onUnread();
    }
  }

  private join(position: number, end: number, bounded: boolean): RelayStream {
    if (!bounded) {
      for (const stream of this.streams) {
        if (stream.covers(position)) {
          stream.enter();
          return stream;
        }
      }
    }
    // Whole blocks, so that the fingerprint covers every byte that a reader is given.
    const offset = bounded ? position : position - (position % BLOCK);
    const stream = new RelayStream(
      this.address,
      { offset, length: (bounded ? end : this.total) - offset },
      bounded,
      this.connections,
      this.idleTimeout,
      {
        onBlock: (index, block) => this.record(index, block),
        onClose: () => this.streams.delete(stream),
      },
    );
    if (!bounded) this.streams.add(stream);
    stream.enter();
    return stream;
  }

  private record(index: number, block: { length: number; crc: number }): void {
    const known = this.blocks.get(index);
    if (known && known.length > block.length) return;
    this.blocks.set(index, block);
    this.print = undefined;
  }
}
