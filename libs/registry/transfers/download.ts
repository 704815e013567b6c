import { backoff, sleep } from '#async';
import { SpanSet } from '#blobs';
import { Failure } from '#oci';
import type { BlobBody } from '#upstream';
import type { DownloadOptions, DownloadPorts } from './download-options.js';
import { OwnLoad } from './own-load.js';

/** One connection's share of the blob: it reads from `position` up to `limit`, which a split may lower. */
interface Run {
  position: number;
  limit: number;
  /** Bytes since the last tick, and the rate that the last ticks gave (bytes a second). */
  fresh: number;
  rate: number;
  body?: BlobBody;
  /** The connection was given up for its rate: what it brought counts as nothing. */
  crawled?: boolean;
  /** It waits for us to take its bytes. */
  held?: boolean;
}

const TICK_MS = 250;
/** Short downloads, and the start of every one, are left to one connection. */
const SETTLE_MS = 1000;
/** Below this a second connection costs more than it brings. */
const MIN_SPLIT = 8 * 2 ** 20;
/** A download in the middle sits a rate limit out for so long at most, for each of its tries. Milliseconds. */
const LONGEST_REST = 15_000;
const ALIGN = 2 ** 20;

/**
 * Brings every byte of one blob once. Starts as one plain GET; when that turns out slow and the upstream answers ranges,
 * the largest remaining share is split and its second half fetched over another connection, as long as that helps.
 * A reader that waits far ahead of every connection gets a connection of its own (`demand`).
 * A broken connection goes on at its position.
 */
export class Download {
  readonly received = new SpanSet();
  private readonly runs = new Set<Run>();
  private readonly abort = new AbortController();
  private readonly work: Promise<void>[] = [];
  private size: number | undefined;
  private etag: string | undefined;
  private ranges = false;
  private alone = false;
  private answered = false;
  private bestRate = 0;
  private lastSplit = 0;
  private readonly load = new OwnLoad();
  private helped = true;
  private failure: unknown;

  constructor(
    private readonly ports: DownloadPorts,
    private readonly options: DownloadOptions,
    size?: number,
  ) {
    this.size = size;
  }

  /** Resolves with the size when everything was received. */
  async run(signal: AbortSignal): Promise<number> {
    const stop = () => this.abort.abort(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    this.lastSplit = Date.now();
    const ticker = setInterval(() => this.tick(), TICK_MS);
    ticker.unref();
    try {
      this.start(0, this.size ?? Number.POSITIVE_INFINITY);
      for (let i = 0; i < this.work.length; i++) await this.work[i];
      if (this.failure) throw this.failure;
      return this.size ?? this.received.frontier;
    } finally {
      clearInterval(ticker);
      signal.removeEventListener('abort', stop);
    }
  }

  /** A reader waits for `offset`. Opens a connection there unless one gets there within about a second. */
  demand(offset: number): void {
    if (!this.answered || !this.maySplit()) return;
    const owner = [...this.runs].find((run) => run.position <= offset && offset < run.limit);
    if (!owner) return;
    const start = offset - (offset % ALIGN);
    if (start - owner.position < 2 * ALIGN || (start - owner.position) / Math.max(owner.rate, 1) < 1) return;
    if (owner.rate === 0 && Date.now() - this.lastSplit < TICK_MS) return;
    this.split(owner, start);
  }

  /** No more connections than one, which brings the bytes in order. To be called before a second one is there. */
  keepToOne(): void {
    this.alone = true;
  }

  private start(position: number, limit: number): void {
    const run: Run = { position, limit, fresh: 0, rate: 0 };
    this.runs.add(run);
    this.work.push(
      this.fetch(run)
        .catch((error) => {
          this.failure ??= error;
          this.abort.abort(error);
        })
        .finally(() => this.runs.delete(run)),
    );
  }

  private split(owner: Run, at: number): void {
    const { limit } = owner;
    owner.limit = at;
    this.lastSplit = Date.now();
    this.ports.onEvent('connection');
    this.start(at, limit);
  }

  private tick(): void {
    const slowOurselves = this.load.high(TICK_MS, this.runs.size);
    const total = this.measure();
    // More connections would only make it worse.
    if (slowOurselves || !this.maySplit()) return;
    const since = Date.now() - this.lastSplit;
    if (since < (this.runs.size > 1 ? 2 * TICK_MS : SETTLE_MS)) return;
    if (total / this.runs.size >= this.options.fastEnough) return;
    // A connection that added nothing shows that the line, not the connection, is the limit.
    if (this.runs.size > 1) this.helped = total > this.bestRate * 1.2;
    if (!this.helped) return;
    this.bestRate = Math.max(this.bestRate, total);
    for (let more = this.runs.size; more > 0 && this.maySplit(); more--) if (!this.splitWidest()) return;
  }

  /** Bytes a second of all connections. */
  private measure(): number {
    let total = 0;
    for (const run of this.runs) {
      run.rate = (run.rate + (run.fresh * 1000) / TICK_MS) / 2;
      run.fresh = 0;
      total += run.rate;
    }
    return total;
  }

  private maySplit(): boolean {
    const { size } = this.runs;
    return this.ranges && !this.alone && this.size !== undefined && size > 0 && size < this.options.connections;
  }

  /** False when no share is worth another connection. */
  private splitWidest(): boolean {
    const widest = [...this.runs].reduce((a, b) => (b.limit - b.position > a.limit - a.position ? b : a));
    const half = widest.position + (widest.limit - widest.position) / 2;
    const at = half - (half % ALIGN);
    if (widest.limit - at < MIN_SPLIT) return false;
    this.split(widest, at);
    return true;
  }

  private async fetch(run: Run): Promise<void> {
    let fruitless = 0;
    while (run.position < run.limit || !this.answered) {
      const before = run.position;
      try {
        if (await this.stream(run)) return;
        // A clean end before the expected one is a broken connection too.
        throw new Failure('UPSTREAM_ERROR', 'the upstream registry sent a short body', {
          origin: 'upstream',
          retryable: true,
        });
      } catch (error) {
        if (this.abort.signal.aborted) throw this.failure ?? this.abort.signal.reason;
        const failure = run.crawled ? tooSlow() : Failure.of(error);
        fruitless = run.position > before && !run.crawled ? 1 : fruitless + 1;
        run.crawled = false;
        // Before the first byte the upstream's own answer is the answer; later a hiccup is worth a new try.
        if (
          !failure.retryable ||
          failure.reason === 'UPSTREAM_PAUSED' ||
          !this.answered ||
          fruitless >= this.options.tries
        )
          throw failure;
        this.ports.onEvent('resume');
        const asked = failure.reason === 'RATE_LIMITED' ? (failure.retryAfter ?? 0) * 1000 : 0;
        await sleep(Math.max(backoff(fruitless, 100, 3000), Math.min(asked, LONGEST_REST)), this.abort.signal);
      } finally {
        run.body?.abort();
        run.body = undefined;
      }
    }
  }

  /** One connection. True when the run has reached its limit, or the body its end where no size is known. */
  private async stream(run: Run): Promise<boolean> {
    const { signal } = this.abort;
    const bounded = run.limit !== Number.POSITIVE_INFINITY && run.limit !== this.size;
    const span =
      run.position === 0 && !bounded
        ? undefined
        : { offset: run.position, ...(bounded ? { length: run.limit - run.position } : {}) };
    const body = await this.ports.open(span, run.position > 0 ? this.etag : undefined, signal);
    run.body = body;
    this.learn(run, body);
    let offset = body.offset;
    if (offset > run.position)
      throw new Failure('UPSTREAM_ERROR', 'the upstream registry sent another range', { origin: 'upstream' });
    if (offset < run.position) {
      this.ranges = false;
      this.ports.onEvent('restart');
    }
    const timer = this.watchRate(run, body);
    try {
      for await (const bytes of body.body) {
        // Cut what is held already (a restart from 0) and what another connection brings.
        const from = Math.max(0, run.position - offset);
        const to = Math.min(bytes.length, run.limit - offset);
        offset += bytes.length;
        if (this.size !== undefined && offset > this.size)
          throw new Failure('UPSTREAM_CONTENT', 'the upstream registry sent too long a body', {
            origin: 'upstream',
            retryable: false,
          });
        if (to <= from) continue;
        const chunk = from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to);
        const at = run.position;
        run.position += chunk.length;
        run.fresh += chunk.length;
        this.received.add({ offset: at, length: chunk.length });
        const before = performance.now();
        run.held = true;
        await this.ports.write(at, chunk);
        run.held = false;
        this.load.heldBack(performance.now() - before);
        if (signal.aborted) throw signal.reason;
        if (run.position >= run.limit && run.limit !== this.size) return true;
      }
    } finally {
      clearInterval(timer);
    }
    if (this.size === undefined) {
      this.size = run.position;
      run.limit = run.position;
    }
    return run.position >= run.limit;
  }

  private learn(run: Run, body: BlobBody): void {
    this.etag ??= body.etag;
    if (this.answered) return;
    this.answered = true;
    this.ranges = body.ranges;
    if (this.size === undefined && body.size !== undefined) {
      this.size = body.size;
      run.limit = body.size;
    } else if (body.size !== undefined && body.size !== this.size) {
      throw new Failure('UPSTREAM_CONTENT', 'the upstream registry sent a blob of another size', {
        origin: 'upstream',
        retryable: false,
      });
    }
    this.ports.onSize(this.size);
  }

  /** Gives a connection up that brings less than `minRate` over a window. */
  private watchRate(run: Run, body: BlobBody): NodeJS.Timeout {
    let seen = run.position;
    const timer = setInterval(() => {
      const rate = ((run.position - seen) * 1000) / this.options.minRateWindow;
      seen = run.position;
      if (rate >= this.options.minRate || run.held) return;
      run.crawled = true;
      body.abort();
    }, this.options.minRateWindow);
    return timer.unref();
  }
}

function tooSlow(): Failure {
  return new Failure('UPSTREAM_TIMEOUT', 'the upstream registry is too slow', { origin: 'upstream', retryable: true });
}
