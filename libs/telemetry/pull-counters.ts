import type { Sink } from '#blobs';
import type { Target } from '#oci';
import type { CheckResult, PullOutcome, Relays, RunningTransfer, TransferEvent, WorkerEvents } from '#registry';
import { Distribution } from './distribution.js';

type TargetKind = Target['kind'];

/** Readers of one transfer. */
const READERS = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

/** What this process pulls: plain numbers, added on the way and read by others. */
export class PullCounters implements WorkerEvents {
  /** Seconds under the lease, by kind and outcome; what was present already took none. */
  readonly pulls = new Map<TargetKind, Map<PullOutcome, Distribution>>();
  running = 0;
  /** Pulls that were taken over from a worker that was lost. */
  takeovers = 0;
  readonly transferEvents: Record<TransferEvent, number> = {
    resume: 0,
    restart: 0,
    connection: 0,
    fewer: 0,
    withheld: 0,
    full: 0,
  };
  readonly readers = new Distribution(READERS);
  /** Watched tags, and those that webhooks told of, by what the upstream said. */
  readonly tagChecks: Record<CheckResult, number> = { unchanged: 0, moved: 0, failed: 0 };
  /** Tags that webhooks told of, by sender. */
  readonly hooks = new Map<string, { accepted: number; ignored: number }>();
  /** Bytes that other processes were sent of transfers of this one, and how many read now. */
  relayBytes = 0;
  relayReaders = 0;

  pullStarted(_kind: TargetKind, attempt: number): void {
    this.running++;
    if (attempt > 1) this.takeovers++;
  }

  pullEnded(kind: TargetKind, outcome: PullOutcome, seconds: number): void {
    if (outcome !== 'present') this.running--;
    const outcomes = this.pulls.get(kind) ?? new Map<PullOutcome, Distribution>();
    const distribution = outcomes.get(outcome) ?? new Distribution();
    this.pulls.set(kind, outcomes.set(outcome, distribution));
    distribution.observe(seconds);
  }

  tagChecked(result: CheckResult): void {
    this.tagChecks[result]++;
  }

  /** `source`: a word of ours, never one of the sender's. */
  hookReceived(source: string, accepted: number, ignored: number): void {
    const before = this.hooks.get(source) ?? { accepted: 0, ignored: 0 };
    this.hooks.set(source, { accepted: before.accepted + accepted, ignored: before.ignored + ignored });
  }

  transferEvent(event: TransferEvent): void {
    this.transferEvents[event]++;
  }

  transferEnded(readers: number): void {
    this.readers.observe(readers);
  }
}

/** The same transfers, for a relay whose readers and bytes are counted. */
export function meterRelay(transfers: Relays, counters: PullCounters): Relays {
  return {
    async attach(address, signal) {
      return metered(await transfers.attach(address, signal), counters);
    },
  };
}

function metered(transfer: RunningTransfer, counters: PullCounters): RunningTransfer {
  return {
    size: () => transfer.size(),
    async read(span, sink, options) {
      const counting: Sink = {
        write(chunk) {
          counters.relayBytes += chunk.length;
          return sink.write(chunk);
        },
      };
      counters.relayReaders++;
      try {
        await transfer.read(span, counting, options);
      } finally {
        counters.relayReaders--;
      }
    },
  };
}
