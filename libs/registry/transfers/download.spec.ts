import fc from 'fast-check';
import { Deferred } from '#async';
import { Failure } from '#oci';
import type { BlobBody } from '#upstream';
import { Download } from './download.js';
import { DOWNLOAD_DEFAULTS, type DownloadOptions } from './download-options.js';

const _MiB = 2 ** 20;
const OPTIONS: DownloadOptions = { ...DOWNLOAD_DEFAULTS, tries: 3 };

interface Behaviour {
  readonly ranges: boolean;
  readonly tellSize: boolean;
  /** Bytes after which the nth connection breaks; undefined: it does not. */
  readonly breaks: (connection: number) => number | undefined;
}

/** An upstream of one blob, as the port describes it. */
class Source {
  opened: ({ offset: number; length?: number } | undefined)[] = [];
  sent = 0;

  constructor(
    private readonly bytes: Buffer,
    private readonly behaviour: Behaviour,
  ) {}

  async open(span: { offset: number; length?: number } | undefined): Promise<BlobBody> {
    const connection = this.opened.push(span) - 1;
    const { ranges, tellSize, breaks } = this.behaviour;
    const offset = ranges && span ? span.offset : 0;
    const end = ranges && span?.length ? Math.min(span.offset + span.length, this.bytes.length) : this.bytes.length;
    let aborted = false;
    const limit = breaks(connection);
    const source = this;
    async function* body() {
      for (let at = offset; at < end; ) {
        const stop = Math.min(at + 100, end, limit === undefined ? end : offset + limit);
        if (stop <= at || aborted)
          throw new Failure('UPSTREAM_ERROR', 'broken', { origin: 'upstream', retryable: true });
        const chunk = source.bytes.subarray(at, stop);
        source.sent += chunk.length;
        yield chunk;
        at = stop;
      }
    }
    return {
      offset,
      ranges,
      ...(tellSize ? { size: this.bytes.length } : {}),
      body: body(),
      abort: () => {
        aborted = true;
      },
    };
  }
}

async function download(
  source: Source,
  bytes: Buffer,
  size: number | undefined,
  demands: number[] = [],
): Promise<Buffer> {
  const into = Buffer.alloc(bytes.length);
  const written = new Uint8Array(bytes.length);
  const job: Download = new Download(
    {
      open: (span) => source.open(span),
      onSize: () => {},
      write: async (offset, chunk) => {
        chunk.copy(into, offset);
        for (let i = 0; i < chunk.length; i++) written[offset + i]!++;
        const demand = demands.pop();
        if (demand !== undefined) job.demand(demand % bytes.length);
      },
      onEvent: () => {},
    },
    OPTIONS,
    size,
  );
  expect(await job.run(new AbortController().signal)).toBe(bytes.length);
  // Every byte is handed on exactly once, whatever broke.
  expect(written.every((times) => times === 1)).toBe(true);
  return into;
}

const pattern = (length: number) => Buffer.from(Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 255));

describe('Download', () => {
  it('is one plain GET when nothing goes wrong', async () => {
    const bytes = pattern(5000);
    const source = new Source(bytes, { ranges: true, tellSize: true, breaks: () => undefined });
    expect((await download(source, bytes, undefined)).equals(bytes)).toBe(true);
    expect(source.opened).toEqual([undefined]);
    expect(source.sent).toBe(5000);
  });

  it('hands every byte on once, wherever connections break, with and without ranges and sizes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 3000 }),
        fc.boolean(),
        fc.boolean(),
        // The last connection holds; each earlier one brings something new, else the download rightly gives up.
        fc.array(fc.integer({ min: 1, max: 3000 }), { maxLength: 2 }),
        fc.array(fc.nat(3000), { maxLength: 5 }),
        async (length, ranges, tellSize, breaks, demands) => {
          const bytes = pattern(length);
          const source = new Source(bytes, { ranges, tellSize, breaks: (n) => breaks[n] });
          // Without a length, a break is an end like any other: then the descriptor's size must tell.
          const result = await download(source, bytes, tellSize ? undefined : length, demands);
          return result.equals(bytes);
        },
      ),
      { numRuns: 40 },
    );
  }, 60_000);

  it('resumes at its place by range', async () => {
    const bytes = pattern(4000);
    const source = new Source(bytes, { ranges: true, tellSize: true, breaks: (n) => (n === 0 ? 1500 : undefined) });
    await download(source, bytes, undefined);
    expect(source.opened).toEqual([undefined, { offset: 1500 }]);
    expect(source.sent).toBe(4000);
  });

  it('asks on resume for the rest of the same content only, and starts over with other content', async () => {
    const bytes = pattern(4000);
    const asked: (string | undefined)[] = [];
    const into = Buffer.alloc(bytes.length);
    const events: string[] = [];
    const job = new Download(
      {
        open: async (_span, ifRange) => {
          asked.push(ifRange);
          const first = asked.length === 1;
          async function* body() {
            yield first ? bytes.subarray(0, 1500) : bytes;
            if (first) throw new Failure('UPSTREAM_ERROR', 'broken', { origin: 'upstream', retryable: true });
          }
          // What is there now is not what the tag says: all of it comes, as RFC 9110 has it.
          return { offset: 0, size: bytes.length, ranges: true, etag: '"first"', body: body(), abort: () => {} };
        },
        onSize: () => {},
        write: async (offset, chunk) => void chunk.copy(into, offset),
        onEvent: (event) => events.push(event),
      },
      OPTIONS,
    );
    expect(await job.run(new AbortController().signal)).toBe(bytes.length);
    expect(asked).toEqual([undefined, '"first"']);
    expect(events).toEqual(['resume', 'restart']);
    expect(into.equals(bytes)).toBe(true);
  });

  it('fails when tries bring nothing, with the reason of the last', async () => {
    const bytes = pattern(4000);
    const source = new Source(bytes, { ranges: true, tellSize: true, breaks: (n) => (n === 0 ? 1000 : 0) });
    await expect(download(source, bytes, undefined)).rejects.toMatchObject({ reason: 'UPSTREAM_ERROR' });
    expect(source.opened.length).toBeLessThanOrEqual(1 + OPTIONS.tries);
  });

  it('B35: a body longer than the descriptor says is refused', async () => {
    const bytes = pattern(4000);
    const chunked = new Source(bytes, { ranges: false, tellSize: false, breaks: () => undefined });
    await expect(download(chunked, bytes, 3000)).rejects.toMatchObject({ reason: 'UPSTREAM_CONTENT' });
    const declared = new Source(bytes, { ranges: true, tellSize: true, breaks: () => undefined });
    await expect(download(declared, bytes, 3000)).rejects.toMatchObject({ reason: 'UPSTREAM_CONTENT' });
  });

  it('C7: gives an upstream up that crawls on every connection, although each brings a little', async () => {
    const bytes = pattern(4000);
    let opened = 0;
    const job = new Download(
      {
        open: async (span) => {
          opened++;
          const stop = new Deferred();
          const start = span?.offset ?? 0;
          async function* body() {
            yield bytes.subarray(start, start + 1);
            await stop.promise;
          }
          return { offset: start, size: bytes.length, ranges: true, body: body(), abort: () => stop.resolve() };
        },
        onSize: () => {},
        write: async () => {},
        onEvent: () => {},
      },
      { ...OPTIONS, minRate: 10_000, minRateWindow: 20 },
    );
    await expect(job.run(new AbortController().signal)).rejects.toMatchObject({ reason: 'UPSTREAM_TIMEOUT' });
    expect(opened).toBe(OPTIONS.tries);
  });
});
