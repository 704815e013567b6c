import type { OnApplicationBootstrap } from '@nestjs/common';
import type { JournalKeeper } from '#registry';

/** Looks after the journal beside the blobs once everything has been reached. */
export class JournalService implements OnApplicationBootstrap {
  private stopped = false;

  constructor(
    private readonly keeper: JournalKeeper,
    private readonly ready: Promise<void>,
  ) {}

  onApplicationBootstrap(): void {
    this.ready.then(
      () => this.stopped || this.keeper.follow(),
      () => {},
    );
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await this.keeper.close();
  }
}
