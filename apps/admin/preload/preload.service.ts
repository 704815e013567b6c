import { readFile } from 'node:fs/promises';
import type { OnApplicationBootstrap } from '@nestjs/common';
import type { Config } from '#config';
import { Failure } from '#oci';
import type { Log, Preloader, PreloadRequest } from '#registry';
import { onSchedule } from './schedule.js';

/** What is loaded without anybody asking: `preloadImages` at start, `preload.images` at start and on `preload.schedule`. */
export class PreloadService implements OnApplicationBootstrap {
  private unschedule: (() => void) | undefined;
  private stopped = false;

  constructor(
    private readonly preloader: Preloader,
    private readonly config: Pick<Config, 'preload' | 'preloadImages'>,
    private readonly ready: Promise<void>,
    private readonly log: Log,
  ) {}

  onApplicationBootstrap(): void {
    // A process that is stopped before its dependencies were there never starts any of it.
    this.ready.then(
      () => this.begin(),
      () => {},
    );
  }

  /** Before pullers stop, so that they are not given more work. */
  async stop(): Promise<void> {
    this.stopped = true;
    this.unschedule?.();
    await this.preloader.close();
  }

  private async begin(): Promise<void> {
    if (this.stopped) return;
    const { preload, preloadImages } = this.config;
    const list = preload.images.join('\n');
    if (preload.schedule && list) this.unschedule = onSchedule(preload.schedule, () => this.load({ list }));
    if (list) void this.load({ list });
    if (!preloadImages) return;
    try {
      await this.load({ list: await readFile(preloadImages, 'utf8') });
    } catch (error) {
      this.log.error({ preloadImages, error: String(error) }, 'cannot read the list of images to preload');
    }
  }

  private async load(request: PreloadRequest): Promise<void> {
    try {
      const { id, images } = this.preloader.start(request);
      this.log.info({ preload: id, images: images.length }, 'preload started');
      await this.preloader.end(id);
    } catch (error) {
      this.log.error({ error: Failure.of(error).message }, 'cannot start to preload');
    }
  }
}
