import { Deferred } from '#async';
import type { Target } from '#oci';
import type { Lane } from './events.js';
import type { ReleaseCause } from './port.js';

/** How many pulls of each lane one worker runs at a time. They are counted apart: background takes no interactive slot. */
export interface SlotLimits extends Readonly<Record<Lane, number>> {
  /**
   * So many pulls of manifests and lists count as one. Each waits for one or two small answers (a token, the content) and
   * costs next to nothing meanwhile; counted in full they would make everybody wait for the upstream's latency. Default 1.
   */
  readonly light?: number;
}

/** What one upstream has. */
interface Share {
  readonly held: Record<Lane, number>;
  stalled: number;
  /** All that have not ended. */
  pulls: number;
}

/** The place of one running pull. */
export interface Slot {
  /** Gives the place up before the pull has ended; whether another may begin now. */
  release(why: ReleaseCause): boolean;
  /** The pull has ended. */
  end(): void;
}

/** Pulls that gave their slots up before they ended: while the catalog is slow they must not pile up. */
const MOST_RELEASED = 256;
/** Of one upstream that hangs. */
const MOST_STALLED = 64;

/**
 * The running pulls of one worker.
 *
 * | lane        | may start when                                                              |
 * |-------------|-----------------------------------------------------------------------------|
 * | interactive | one of its slots is free                                                    |
 * | background  | one of its slots is free, and an interactive one too: nobody who waits queues |
 *
 * A pull that gets nothing from its upstream gives its slot up. While an upstream has such pulls it may hold half of the slots
 * at most: it delays nobody but its own clients.
 */
export class Slots {
  private readonly running: Record<Lane, number> = { interactive: 0, background: 0 };
  private readonly held: Record<Lane, number> = { interactive: 0, background: 0 };
  private released = 0;
  private readonly upstreams = new Map<string, Share>();
  private idle: Deferred | undefined;

  constructor(private readonly limits: SlotLimits) {
    for (const limit of Object.values(limits)) {
      if (!Number.isInteger(limit) || limit < 1) throw new Error('a lane needs at least one slot');
    }
  }

  /** Messages that may come, whatever they are about: what is left of a slot is one for a light pull. */
  free(lane: Lane): number {
    if (lane === 'background' && this.running.interactive >= this.limits.interactive) return 0;
    return Math.ceil(this.limits[lane] - this.running[lane]);
  }

  /** Whether an upstream may have a pull more in the lane, as long as one is free. */
  mayTake(lane: Lane, upstream: string): boolean {
    const own = this.upstreams.get(upstream);
    return !own || own.stalled === 0 || own.held[lane] < Math.max(1, Math.floor(this.limits[lane] / 2));
  }

  /** Begins a pull. */
  take(lane: Lane, target: Target): Slot {
    const share = target.kind === 'blob' ? 1 : 1 / (this.limits.light ?? 1);
    const own = this.shareOf(target.repository.upstream);
    this.running[lane] += share;
    this.held[lane]++;
    own.held[lane]++;
    own.pulls++;
    let place: 'held' | ReleaseCause | 'ended' = 'held';
    const free = () => {
      own.held[lane]--;
      // Thirds do not add up: nothing is left over when nothing runs.
      this.held[lane]--;
      this.running[lane] = this.held[lane] === 0 ? 0 : this.running[lane] - share;
    };
    return {
      release: (why) => {
        if (place !== 'held' || this.released >= MOST_RELEASED) return false;
        if (why === 'stalled' && own.stalled >= MOST_STALLED) return false;
        place = why;
        this.released++;
        if (why === 'stalled') own.stalled++;
        free();
        return true;
      },
      end: () => {
        if (place === 'ended') return;
        if (place === 'held') free();
        else this.released--;
        if (place === 'stalled') own.stalled--;
        place = 'ended';
        if (--own.pulls === 0) this.upstreams.delete(target.repository.upstream);
        if (this.busy === 0) this.idle?.resolve();
      },
    };
  }

  private shareOf(upstream: string): Share {
    let own = this.upstreams.get(upstream);
    if (!own) {
      own = { held: { interactive: 0, background: 0 }, stalled: 0, pulls: 0 };
      this.upstreams.set(upstream, own);
    }
    return own;
  }

  /** Pulls that have not ended. */
  get busy(): number {
    return this.held.interactive + this.held.background + this.released;
  }

  /** Resolves when nothing runs. The caller bounds the wait and lets nothing new start. */
  async whenIdle(): Promise<void> {
    if (this.busy === 0) return;
    this.idle ??= new Deferred();
    await this.idle.promise;
  }
}
