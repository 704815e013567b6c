import type { BlobBody } from '#upstream';

/** What is left for one connection to bring. */
interface Share {
  position: number;
  limit: number;
}

/** One connection's share of the blob: it reads from `position` up to `limit`, which a split may lower. */
export interface Run extends Share {
  /** Bytes since the last tick, and the rate that the last ticks gave (bytes a second). */
  fresh: number;
  rate: number;
  body?: BlobBody;
  /** The connection was given up for its rate: what it brought counts as nothing. */
  crawled?: boolean;
  /** What is left of its share is for another connection. */
  parked?: boolean;
  /** It waits for us to take its bytes. */
  held?: boolean;
}

/** Which connection brings what, and how fast. */
export class Shares {
  private readonly runs = new Set<Run>();
  /** Shares whose connections were given up for being too many. */
  private parked: Share[] = [];

  get size(): number {
    return this.runs.size;
  }

  add(position: number, limit: number): Run {
    const run: Run = { position, limit, fresh: 0, rate: 0 };
    this.runs.add(run);
    return run;
  }

  delete(run: Run): void {
    this.runs.delete(run);
  }

  /** The one that brings the byte at `offset`. */
  ownerOf(offset: number): Run | undefined {
    return [...this.runs].find((run) => run.position <= offset && offset < run.limit);
  }

  /** The one that gets to where `run` stands. */
  before(run: Run): Run | undefined {
    return [...this.runs].find((other) => other !== run && other.limit === run.position);
  }

  /** The one that has most to bring yet. */
  widest(): Run {
    return [...this.runs].reduce((a, b) => (b.limit - b.position > a.limit - a.position ? b : a));
  }

  /** Bytes a second of all, over the last ticks. */
  measure(tickMs: number): number {
    let total = 0;
    for (const run of this.runs) {
      run.rate = (run.rate + (run.fresh * 1000) / tickMs) / 2;
      run.fresh = 0;
      total += run.rate;
    }
    return total;
  }

  /**
   * Leaves one connection, the one that readers need first unless it is the one that is slow; what the others were to bring
   * comes after.
   */
  parkAllButOne(): void {
    const inOrder = [...this.runs].sort((a, b) => a.position - b.position);
    const fastest = Math.max(...inOrder.map(({ rate }) => rate));
    const stays = inOrder.find(({ rate }) => rate >= fastest / 4);
    for (const run of inOrder) {
      if (run === stays) continue;
      this.parked.push({ position: run.position, limit: run.limit });
      run.parked = true;
      run.limit = run.position;
      run.body?.abort();
    }
    this.parked.sort((a, b) => a.position - b.position);
  }

  /** The parked share with the byte at `offset`, or the first one, which is then somebody's. */
  unpark(offset?: number): Share | undefined {
    const share = this.parked.find(
      ({ position, limit }) => offset === undefined || (position <= offset && offset < limit),
    );
    this.parked = this.parked.filter((other) => other !== share);
    return share;
  }
}
