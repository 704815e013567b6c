import { Failure } from '#oci';
import type { BreakerOptions } from './options.js';

/**
 * Leaves an upstream alone after failures in a row.
 *
 *   closed --5 failures--> open until T --first call after T--> probing --success--> closed
 *                            ^                                     |
 *                            +----------- failure, pause doubled --+
 *
 * While open or probing, other calls are refused at once and told how long to wait.
 */
export class Breaker {
  private inARow = 0;
  private pause = 0;
  private until = 0;
  private probing = false;

  constructor(
    private readonly options: BreakerOptions,
    private readonly onOpen: (until: number) => void,
  ) {}

  /** Runs `work`; only what `isUpstreamDown` calls so counts. Rejects with Failure UPSTREAM_PAUSED without running it. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    const probe = this.pause > 0;
    if (probe) {
      const left = this.until - Date.now();
      if (left > 0 || this.probing) {
        const retryAfter = Math.max(1, Math.ceil(left / 1000));
        throw new Failure('UPSTREAM_PAUSED', 'the upstream registry is paused after repeated failures', {
          origin: 'upstream',
          retryable: true,
          retryAfter,
        });
      }
      this.probing = true;
    }
    try {
      const result = await work();
      this.close();
      return result;
    } catch (error) {
      if (isUpstreamDown(error)) this.failed(probe);
      // A "no" is an answer too; anything else (a caller that went away) says nothing.
      else if (error instanceof Failure && error.origin === 'upstream') this.close();
      throw error;
    } finally {
      if (probe) this.probing = false;
    }
  }

  /** Epoch milliseconds; undefined while it is closed. */
  get openUntil(): number | undefined {
    return this.pause > 0 ? this.until : undefined;
  }

  private close(): void {
    this.inARow = 0;
    this.pause = 0;
  }

  private failed(probe: boolean): void {
    this.inARow++;
    // A call that began before the pause and fails during it changes nothing.
    if (this.pause > 0 && !probe) return;
    if (!probe && this.inARow < this.options.failures) return;
    this.pause = Math.min(this.options.longestPause, this.pause === 0 ? this.options.firstPause : this.pause * 2);
    this.until = Date.now() + this.pause;
    this.onOpen(this.until);
  }
}

function isUpstreamDown(error: unknown): boolean {
  return (
    error instanceof Failure &&
    error.retryable &&
    (error.reason === 'UPSTREAM_ERROR' || error.reason === 'UPSTREAM_TIMEOUT')
  );
}
