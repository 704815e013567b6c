import { backoff, sleep } from '#async';
import { SpanSet } from '#blobs';
import { Failure } from '#oci';
import type { BlobBody } from '#upstream';
import type { DownloadOptions, DownloadPorts } from './download-options.js';
import { Pace, TICK_MS } from './pace.js';
import { type Run, Shares } from './shares.js';

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
  private readonly shares = new Shares();
  private readonly abort = new AbortController();
  private readonly work: Promise<void>[] = [];
  private size: number | undefined;
  private etag: string | undefined;
  private ranges = false;
  private alone = false;
  private answered = false;
  private readonly pace: Pace;
  private failure: unknown;

  constructor(
    private readonly ports: DownloadPorts,
    private readonly options: DownloadOptions,
    size?: number,
    /** Goes on where another download of the same blob was. */
    private readonly from: { readonly offset: number; readonly etag?: string | undefined } = { offset: 0 },
  ) {
    this.size = size;
    this.etag = from.etag;
    this.pace = new Pace(options.fastEnough);
  }

  /** What the upstream calls the content. */
  get contentTag(): string | undefined {
    return this.etag;
  }

  /** Resolves with the size when everything was received. */
  async run(signal: AbortSignal): Promise<number> {
    const stop = () => this.abort.abort(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    this.pace.opened();
    const ticker = setInterval(() => this.tick(), TICK_MS);
    ticker.unref();
    try {
      this.start(this.from.offset, this.size ?? Number.POSITIVE_INFINITY);
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
    if (this.unpark(offset)) return;
    const owner = this.shares.ownerOf(offset);
    if (!owner) return;
    const start = offset - (offset % ALIGN);
    if (start - owner.position < 2 * ALIGN || (start - owner.position) / Math.max(owner.rate, 1) < 1) return;
    if (owner.rate === 0 && this.pace.settled < TICK_MS) return;
    this.split(owner, start);
  }

  /** Ends it; `run` rejects with `reason`. */
  stop(reason: unknown): void {
    this.abort.abort(reason);
  }

  /** No more connections than one, which brings the bytes in order. False when there are more already. */
  keepToOne(): boolean {
    this.alone = true;
    return this.work.length <= 1;
  }

  private start(position: number, limit: number): void {
    const run = this.shares.add(position, limit);
    this.work.push(
      this.fetch(run)
        .catch((error) => {
          this.failure ??= error;
          this.abort.abort(error);
        })
        .finally(() => {
          this.shares.delete(run);
          if (this.shares.size === 0 && !this.failure) this.unpark();
        }),
    );
  }

  /** Goes on with a share that was given up. */
  private unpark(offset?: number): boolean {
    const share = this.shares.unpark(offset);
    if (share) this.start(share.position, share.limit);
    return share !== undefined;
  }

  private split(owner: Run, at: number): void {
    const { limit } = owner;
    owner.limit = at;
    this.pace.opened();
    this.ports.onEvent('connection');
    this.start(at, limit);
  }

  private tick(): void {
    const connections = this.shares.size;
    const verdict = this.pace.judge(this.shares.measure(TICK_MS), connections, this.maySplit());
    if (verdict === 'fewer') {
      this.shares.parkAllButOne();
      this.ports.onEvent('fewer');
    }
    if (verdict !== 'more') return;
    for (let more = connections; more > 0 && this.maySplit(); more--) if (!this.splitWidest()) return;
  }

  private maySplit(): boolean {
    const { size } = this.shares;
    return this.ranges && !this.alone && this.size !== undefined && size > 0 && size < this.options.connections;
  }

  /** False when no share is worth another connection. */
  private splitWidest(): boolean {
    const widest = this.shares.widest();
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
        if (run.parked) return;
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
      // Whoever comes to its start goes on, instead of two who fetch all of it.
      const before = this.shares.before(run);
      if (before) {
        before.limit = run.limit;
        run.limit = run.position;
        this.ports.onEvent('fewer');
        return true;
      }
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
        this.pace.heldBack(performance.now() - before);
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
