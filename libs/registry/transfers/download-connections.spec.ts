import { Failure } from '#oci';
import { Download } from './download.js';
import { DOWNLOAD_DEFAULTS, type DownloadOptions } from './download-options.js';

const MiB = 2 ** 20;
const OPTIONS: DownloadOptions = { ...DOWNLOAD_DEFAULTS, tries: 3 };

/** Brings a blob at `rate(connections at this moment)` bytes a second on each of them. */
class Line {
  open_ = 0;
  most = 0;
  spans: ({ offset: number; length?: number } | undefined)[] = [];
  events: string[] = [];
  readonly written: Uint8Array;
  constructor(
    readonly bytes: Buffer,
    private readonly rate: (connections: number) => number,
    private readonly ranged: boolean,
  ) {
    this.written = new Uint8Array(bytes.length / 1024);
  }

  async run(): Promise<void> {
    const line = this;
    const job = new Download(
      {
        open: async (span) => {
          line.spans.push(span);
          const offset = line.ranged ? (span?.offset ?? 0) : 0;
          const end = line.ranged && span?.length ? offset + span.length : line.bytes.length;
          let open = true;
          line.most = Math.max(line.most, ++line.open_);
          const close = () => {
            if (open) line.open_--;
            open = false;
          };
          async function* body() {
            for (let at = offset; at < end && open; ) {
              await new Promise((resolve) => setTimeout(resolve, 20));
              const piece = Math.ceil(line.rate(line.open_) / 50 / 1024) * 1024;
              yield line.bytes.subarray(at, Math.min(at + piece, end));
              at += piece;
            }
            if (!open) throw new Failure('UPSTREAM_ERROR', 'aborted', { origin: 'upstream', retryable: true });
            close();
          }
          // Its first answer said that it knows ranges.
          return { offset, size: line.bytes.length, ranges: true, body: body(), abort: close };
        },
        onSize: () => {},
        write: async (offset, chunk) => {
          for (let i = 0; i < chunk.length; i += 1024) line.written[(offset + i) / 1024]!++;
        },
        onEvent: (event) => line.events.push(event),
      },
      OPTIONS,
    );
    expect(await job.run(new AbortController().signal)).toBe(line.bytes.length);
    expect(line.written.every((times) => times === 1)).toBe(true);
  }
}

describe('the connections of a Download', () => {
  it('goes back to one connection when several bring less than one did', async () => {
    const line = new Line(Buffer.alloc(24 * MiB), (n) => (n > 1 ? 40 * 1024 : 8 * MiB), true);
    await line.run();
    expect(line.most).toBeGreaterThan(1);
    expect(line.events.filter((event) => event === 'fewer')).toHaveLength(1);
    // The shares of those that were given up come one after the other.
    expect(line.spans.length).toBeGreaterThan(line.most);
  }, 60_000);

  it('goes back to one connection when the upstream answers a range with all of it', async () => {
    const line = new Line(Buffer.alloc(24 * MiB), () => 8 * MiB, false);
    await line.run();
    expect(line.spans).toEqual([undefined, expect.objectContaining({ offset: expect.any(Number) })]);
    expect(line.events).toEqual(['connection', 'fewer']);
  }, 60_000);

  it('opens another connection for a reader that waits far ahead', async () => {
    const bytes = Buffer.alloc(12 * MiB, 7);
    const spans: ({ offset: number; length?: number } | undefined)[] = [];
    let demanded = false;
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const job: Download = new Download(
      {
        open: async (span) => {
          spans.push(span);
          const start = span?.offset ?? 0;
          const end = start + (span?.length ?? bytes.length - start);
          async function* body() {
            yield bytes.subarray(start, start + 1000);
            // The first connection stalls until the second has brought what the reader wanted.
            if (start === 0) await held;
            yield bytes.subarray(start + 1000, end);
            if (start > 0) release();
          }
          return { offset: start, size: bytes.length, ranges: true, body: body(), abort: () => release() };
        },
        onSize: () => {},
        write: async () => {
          if (demanded) return;
          demanded = true;
          // Once the rate of the first connection has fallen, it will not be there within a second.
          const ask = setInterval(() => {
            if (spans.length > 1) clearInterval(ask);
            else job.demand(9 * MiB + 17);
          }, 20);
        },
        onEvent: () => {},
      },
      OPTIONS,
    );
    expect(await job.run(new AbortController().signal)).toBe(bytes.length);
    expect(spans.some((span) => span?.offset === 9 * MiB)).toBe(true);
  });

  it.each([
    ['where the upstream is to see one', { connections: 1 }, false],
    ['for a blob that must come in order', {}, true],
  ])('keeps to one connection %s, whatever readers wait for', async (_, more, inOrder) => {
    const bytes = Buffer.alloc(12 * MiB, 7);
    const spans: unknown[] = [];
    const job: Download = new Download(
      {
        open: async (span) => {
          spans.push(span);
          async function* body() {
            for (let at = 0; at < bytes.length; at += MiB) yield bytes.subarray(at, at + MiB);
          }
          return { offset: 0, size: bytes.length, ranges: true, body: body(), abort: () => {} };
        },
        onSize: () => inOrder && job.keepToOne(),
        write: async () => job.demand(11 * MiB),
        onEvent: () => {},
      },
      { ...OPTIONS, ...more },
    );
    expect(await job.run(new AbortController().signal)).toBe(bytes.length);
    expect(spans).toEqual([undefined]);
  });
});
