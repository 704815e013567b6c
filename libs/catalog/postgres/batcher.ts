import { Deferred } from '#async';

export interface BatcherOptions<Item> {
  /** Items in one run. */
  readonly maxBatch: number;
  /** Items that may wait; one more is rejected at once. */
  readonly maxWaiting: number;
  /** Milliseconds an item may wait for its run to begin. */
  readonly maxWait: number;
  /** Runs at the same time. */
  readonly concurrency: number;
  /** Milliseconds that a run waits for more items, where nobody waits for its end. Default: the turn of the event loop. */
  readonly linger?: number;
  /** With so many items it does not wait for more. */
  readonly enough?: number;
  /** Items of one key never share a run. */
  readonly keyOf: (item: Item) => string;
  /** Whether one item may be at fault, so that each is worth a run of its own. */
  readonly isolate: (error: unknown) => boolean;
  /** What an item is rejected with that found no place or waited too long. */
  readonly overloaded: () => Error;
}

interface Waiting<Item, Result> {
  readonly item: Item;
  readonly key: string;
  readonly since: number;
  readonly result: Deferred<Result>;
}

/**
 * Turns concurrent calls into few runs: what is submitted while runs are under way shares the next one.
 *
 *   submit -> waiting -> running -> its own result
 *                |          `- failed as a batch for one item's sake -> each alone
 *                `- no place, or too late -> overloaded
 */
export class Batcher<Item, Result> {
  private waiting: Array<Waiting<Item, Result>> = [];
  private running = 0;
  private scheduled = false;
  private lingering: NodeJS.Timeout | undefined;

  /** `run` answers one result per item, in the items' order. */
  constructor(
    private readonly run: (items: Item[]) => Promise<Result[]>,
    private readonly options: BatcherOptions<Item>,
  ) {}

  submit(item: Item): Promise<Result> {
    if (this.waiting.length >= this.options.maxWaiting) return Promise.reject(this.options.overloaded());
    const result = new Deferred<Result>();
    this.waiting.push({ item, key: this.options.keyOf(item), since: performance.now(), result });
    this.schedule();
    return result.promise;
  }

  /** Not at once: calls made in this turn of the event loop belong together. */
  private schedule(): void {
    const { linger, enough = Number.POSITIVE_INFINITY } = this.options;
    if (this.lingering && this.waiting.length >= enough) {
      clearTimeout(this.lingering);
      this.lingering = undefined;
      this.scheduled = false;
    }
    if (this.scheduled || this.waiting.length === 0 || this.running >= this.options.concurrency) return;
    this.scheduled = true;
    const begin = () => {
      this.scheduled = false;
      this.lingering = undefined;
      const batch = this.take();
      if (batch.length > 0) {
        this.running++;
        void this.settle(batch).finally(() => {
          this.running--;
          this.schedule();
        });
      }
      this.schedule();
    };
    if (linger === undefined || this.waiting.length >= enough) setImmediate(begin);
    else this.lingering = setTimeout(begin, linger);
  }

  private take(): Array<Waiting<Item, Result>> {
    const batch: Array<Waiting<Item, Result>> = [];
    const left: Array<Waiting<Item, Result>> = [];
    const keys = new Set<string>();
    const tooOld = performance.now() - this.options.maxWait;
    for (const entry of this.waiting) {
      if (entry.since < tooOld) entry.result.reject(this.options.overloaded());
      else if (batch.length >= this.options.maxBatch || keys.has(entry.key)) left.push(entry);
      else {
        keys.add(entry.key);
        batch.push(entry);
      }
    }
    this.waiting = left;
    return batch;
  }

  private async settle(batch: Array<Waiting<Item, Result>>): Promise<void> {
    try {
      const results = await this.run(batch.map((entry) => entry.item));
      for (const [place, entry] of batch.entries()) entry.result.resolve(results[place] as Result);
    } catch (error) {
      if (batch.length > 1 && this.options.isolate(error)) {
        for (const entry of batch) await this.settle([entry]);
      } else for (const entry of batch) entry.result.reject(error);
    }
  }
}
