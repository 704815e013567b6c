import type { OnApplicationBootstrap } from '@nestjs/common';
import type { Config } from '#config';
import { Failure } from '#oci';
import type { Log, Verifier } from '#registry';

/** A check of the start is enough for all processes that start within this time. */
const EVERY_MS = 3_600_000;

/** Looks, after a start, whether the store has what the catalog says. It only tells: another directory may be mounted. */
export class VerifyService implements OnApplicationBootstrap {
  private stopped = false;

  constructor(
    private readonly verifier: Verifier,
    private readonly config: Config['verify'],
    private readonly ready: Promise<void>,
    private readonly log: Log,
  ) {}

  onApplicationBootstrap(): void {
    if (!this.config.atStart) return;
    this.ready.then(
      () => this.begin(),
      () => {},
    );
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await this.verifier.close();
  }

  private async begin(): Promise<void> {
    if (this.stopped) return;
    try {
      await this.verifier.selfCheck(this.config.rate, EVERY_MS);
    } catch (error) {
      this.log.warn({ error: Failure.of(error).message }, 'cannot check what is stored');
    }
  }
}
