import type { ClientRequest, IncomingMessage } from 'node:http';
import { crc32 } from 'node:zlib';
import { Deferred } from '#async';
import type { Span } from '#blobs';
import type { RelayAddress } from '#bus';
import { Failure } from '#oci';
import type { RelayConnections } from './connections.js';

/** Bytes of a fingerprint block. */
export const BLOCK = 2 ** 20;
/** Bytes kept for readers behind the head. */
const WINDOW = 4 * 2 ** 20;
/** Bytes that the head may be before its fastest reader. */
const AHEAD = 2 ** 20;

interface StreamEvents {
  onBlock(index: number, block: { length: number; crc: number }): void;
  onClose(): void;
}

/**
 * One HTTP answer of a relay, held as a moving window and shared by the readers inside it. It runs at the pace of the
 * fastest reader; a reader that falls out of the window has to look for another stream.
 */
export class RelayStream {
  private readonly req: ClientRequest;
  private res: IncomingMessage | undefined;
  private readonly chunks: Buffer[] = [];
  /** Offset of the first byte of the window, of the next byte to come, of the fastest reader. */
  private base: number;
  private head: number;
  private lead: number;
  private readers = 0;
  private failure: Failure | undefined;
  private changed = new Deferred();
  private crc = 0;

  constructor(
    address: RelayAddress,
    private readonly span: Span,
    bounded: boolean,
    connections: RelayConnections,
    idleTimeout: number,
    private readonly events: StreamEvents,
  ) {
    this.base = this.head = this.lead = span.offset;
    const query = `?offset=${span.offset}&length=${span.length}${bounded ? '&bounded=1' : ''}`;
    this.req = connections.request(address, 'GET', query, idleTimeout);
    this.req.on('response', (res) => {
      this.res = res;
      if (res.statusCode !== 200) return this.close('the transfer is not there');
      res.on('data', (chunk: Buffer) => this.push(chunk));
      res.on('close', () => this.close('the relay broke'));
    });
    this.req.on('timeout', () => this.close('the relay is silent'));
    this.req.on('error', () => this.close('the relay broke'));
    this.req.end();
  }

  covers(position: number): boolean {
    const alive = !this.failure || position < this.head;
    // It was begun at the start of a block for a reader who may be anywhere in that.
    return alive && position >= this.base && position <= Math.max(this.head, this.span.offset + BLOCK);
  }

  /** Why nothing more will come; undefined while it flows. */
  get broken(): Failure | undefined {
    return this.failure;
  }

  enter(): void {
    this.readers++;
  }

  leave(): void {
    if (--this.readers === 0) this.close('nobody reads');
  }

  /** Bytes at `position`, at most up to `end`; undefined when they have not come yet. */
  at(position: number, end: number): Buffer | undefined {
    if (position > this.lead) {
      this.lead = position;
      if (this.head - this.lead < AHEAD) this.res?.resume();
    }
    if (position < this.base || position >= this.head) return undefined;
    let offset = this.head;
    for (let i = this.chunks.length - 1; i >= 0; i--) {
      const chunk = this.chunks[i]!;
      offset -= chunk.length;
      if (position >= offset) return chunk.subarray(position - offset, Math.min(chunk.length, end - offset));
    }
    return undefined;
  }

  /** Resolves when more has come; rejects when nothing more will come at `position`. */
  async next(position: number): Promise<void> {
    if (position < this.head) return;
    if (this.failure) throw this.failure;
    await this.changed.promise;
  }

  private push(chunk: Buffer): void {
    this.sum(chunk);
    this.chunks.push(chunk);
    this.head += chunk.length;
    while (this.head - this.base - this.chunks[0]!.length > WINDOW) this.base += this.chunks.shift()!.length;
    if (this.head - this.lead >= AHEAD) this.res?.pause();
    this.wake();
  }

  private sum(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; ) {
      const offset = this.head + at;
      const index = Math.floor(offset / BLOCK);
      const inBlock = offset - index * BLOCK;
      const part = chunk.subarray(at, at + Math.min(chunk.length - at, BLOCK - inBlock));
      this.crc = crc32(part, inBlock === 0 ? 0 : this.crc);
      // A bounded stream may start inside a block; it is never part of a complete body.
      if (this.span.offset <= index * BLOCK)
        this.events.onBlock(index, { length: inBlock + part.length, crc: this.crc });
      at += part.length;
    }
  }

  private close(reason: string): void {
    if (this.failure) return;
    this.failure = new Failure('UNAVAILABLE', reason, { retryable: true });
    this.events.onClose();
    if (this.head < this.span.offset + this.span.length) this.req.destroy();
    this.wake();
  }

  private wake(): void {
    const { changed } = this;
    this.changed = new Deferred();
    changed.resolve();
  }
}
