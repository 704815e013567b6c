import { type MessageEvent, type OnModuleDestroy } from '@nestjs/common';
import { finalize, Observable, Subject } from 'rxjs';
import type { z } from 'zod';
import type { Bus, Signals } from '#bus';
import type { Catalog, PullEntry } from '#catalog';
import { type Log } from '#registry';
import type { Pull, PullEvents } from './models.js';
import { Refusal } from './problem.js';
import { pageOf } from './queries.js';
import { pullView } from './views.js';

type Progress = Signals['pull.progress']['transfers'][number];

/** Milliseconds between two events, and between two looks when nothing was heard: signals may be lost. */
const EVERY_MS = 1000;
const QUIET_MS = 5000;
/** Looks after a signal. */
const LOOKS = 2;
/** What a puller told is believed for so long. */
const PROGRESS_MS = 5000;
const RUNNING = 200;
const FINISHED = 50;
const MOST_VIEWERS = 100;
/** Running transfers that are remembered. */
const MOST_TRANSFERS = 10_000;

/**
 * Pulls as they happen, for people who watch. Signals say that something changed, the rows say what; the database is
 * asked once a second at most, whoever watches, and not at all while nobody does.
 */
export class PullFeed implements OnModuleDestroy {
  private readonly events$ = new Subject<MessageEvent>();
  private readonly progress = new Map<string, Progress & { readonly at: number; readonly bytesPerSecond: number }>();
  private readonly unsubscribe: (() => void)[];
  private viewers = 0;
  private timer: NodeJS.Timeout | undefined;
  /** Looks that are still owed to what was heard: a row may follow its signal. */
  private owed = LOOKS;
  private looked = 0;
  private looking = false;

  constructor(
    private readonly catalog: Pick<Catalog, 'inventory'>,
    private readonly bus: Bus,
    private readonly log: Log,
  ) {
    const change = () => {
      this.owed = LOOKS;
    };
    this.unsubscribe = [
      bus.onSignal('pull.started', change),
      bus.onSignal('pull.finished', change),
      bus.onSignal('pull.progress', ({ transfers }) => {
        change();
        for (const transfer of transfers) this.learn(transfer);
      }),
    ];
  }

  /** Begins with what runs now. Throws `Refusal` 503 when too many watch already. */
  events(): Observable<MessageEvent> {
    if (this.viewers >= MOST_VIEWERS) throw new Refusal(503, 'too many watch the pulls already');
    return new Observable<MessageEvent>((viewer) => {
      this.viewers++;
      this.owed = LOOKS;
      this.timer ??= setInterval(() => void this.look(), EVERY_MS).unref();
      const subscription = this.events$.subscribe(viewer);
      void this.look();
      return () => subscription.unsubscribe();
    }).pipe(
      finalize(() => {
        if (--this.viewers > 0) return;
        clearInterval(this.timer);
        this.timer = undefined;
      }),
    );
  }

  /** With its progress, where a puller has told of it lately. */
  view(pull: PullEntry): z.output<typeof Pull> {
    const told = pull.state === 'running' ? this.progress.get(pull.key) : undefined;
    if (!told || told.at < Date.now() - PROGRESS_MS) return pullView(pull);
    const { received, readers, bytesPerSecond, size } = told;
    return {
      ...pullView(pull),
      ...(size === undefined ? {} : { size }),
      progress: { received, readers, bytesPerSecond },
    };
  }

  onModuleDestroy(): void {
    clearInterval(this.timer);
    for (const off of this.unsubscribe) off();
    this.events$.complete();
  }

  private learn(transfer: Progress): void {
    const now = Date.now();
    const before = this.progress.get(transfer.row);
    const seconds = before ? (now - before.at) / 1000 : 0;
    const grown = before ? transfer.received - before.received : 0;
    const bytesPerSecond = seconds > 0 && grown >= 0 ? Math.round(grown / seconds) : 0;
    this.progress.delete(transfer.row);
    this.progress.set(transfer.row, { ...transfer, at: now, bytesPerSecond });
    for (const [row, { at }] of this.progress) {
      if (at >= now - PROGRESS_MS && this.progress.size <= MOST_TRANSFERS) break;
      this.progress.delete(row);
    }
  }

  private async look(): Promise<void> {
    const now = Date.now();
    if (this.looking || (this.owed === 0 && now - this.looked < QUIET_MS)) return;
    this.looking = true;
    this.owed = Math.max(0, this.owed - 1);
    this.looked = now;
    try {
      const { inventory } = this.catalog;
      const [running, finished, queue] = await Promise.all([
        inventory.pulls({ state: 'running' }, pageOf<'changedAt'>({ limit: RUNNING }, '-changedAt')),
        inventory.pulls({ state: 'finished' }, pageOf<'changedAt'>({ limit: FINISHED }, '-changedAt')),
        this.bus.depth(),
      ]);
      const data: z.output<typeof PullEvents> = {
        running: running.items.map((pull) => this.view(pull)),
        finished: finished.items.map(pullView),
        queue,
      };
      this.events$.next({ type: 'pulls', data });
    } catch (error) {
      this.log.debug({ error: String(error) }, 'cannot look at the pulls');
    } finally {
      this.looking = false;
    }
  }
}
