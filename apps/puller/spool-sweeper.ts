import type { OnApplicationBootstrap, OnApplicationShutdown } from '@nestjs/common';
import type { BlobStore } from '#blobs';
import type { Log } from '#registry';

export interface SweepBounds {
  /** Milliseconds at the start; 0 where nobody else can be writing. */
  readonly atStart: number;
  /** Milliseconds that a spool file was not written to. */
  readonly idle: number;
  /** Milliseconds since an upload to the store began. */
  readonly uploads: number;
  /** Milliseconds between two runs. */
  readonly every: number;
}

/** Removes what downloads of dead processes left: spool files, unfinished uploads. */
export class SpoolSweeper implements OnApplicationBootstrap, OnApplicationShutdown {
  private timer: NodeJS.Timeout | undefined;
  private stopped = false;

  constructor(
    private readonly blobs: Pick<BlobStore, 'sweep'>,
    private readonly ready: Promise<void>,
    private readonly bounds: SweepBounds,
    private readonly log: Log,
  ) {}

  onApplicationBootstrap(): void {
    this.ready.then(
      () => this.begin(),
      () => {},
    );
  }

  onApplicationShutdown(): void {
    this.stopped = true;
    clearInterval(this.timer);
  }

  private begin(): void {
    if (this.stopped) return;
    const { atStart, idle, uploads, every } = this.bounds;
    this.timer = setInterval(() => void this.sweep(idle, uploads), every);
    this.timer.unref();
    void this.sweep(Math.min(atStart, idle), Math.min(atStart, uploads));
  }

  private async sweep(idle: number, uploads: number): Promise<void> {
    try {
      const removed = await this.blobs.sweep(idle, uploads);
      if (removed > 0) this.log.info({ removed }, 'leftovers of unfinished downloads were removed');
    } catch (error) {
      this.log.warn({ error: String(error) }, 'cannot remove leftovers of unfinished downloads');
    }
  }
}
