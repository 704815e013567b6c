import type { Transfers } from '#registry';
import type { PullCounters } from '../pull-counters.js';
import { counter, gauge, histogram, type Metric } from './metric.js';

/** What this process pulls. */
export function pullMetrics(pulls: PullCounters, transfers: Pick<Transfers, 'all'>): Metric[] {
  const reading = () => transfers.all().map((transfer) => transfer.readers.size);
  const sum = (values: readonly number[]) => values.reduce((all, value) => all + value, 0);
  return [
    gauge('pulls_running', 'Pulls that this process works on.', [], () => [{ value: pulls.running }]),
    histogram('pull_duration_seconds', 'Pulls that ended, by outcome.', ['kind', 'outcome'], function* () {
      for (const [kind, outcomes] of pulls.pulls)
        for (const [outcome, distribution] of outcomes) yield { distribution, labels: { kind, outcome } };
    }),
    counter('pull_takeovers_total', 'Pulls taken over from a puller that was lost.', [], () => [
      { value: pulls.takeovers },
    ]),
    counter('tag_checks_total', 'Watched tags that were asked for, and those of webhooks.', ['result'], function* () {
      for (const [result, value] of Object.entries(pulls.tagChecks)) yield { value, labels: { result } };
    }),
    counter('hook_tags_total', 'Tags that webhooks told of.', ['source', 'result'], function* () {
      for (const [source, { accepted, ignored }] of pulls.hooks) {
        yield { value: accepted, labels: { source, result: 'accepted' } };
        yield { value: ignored, labels: { source, result: 'ignored' } };
      }
    }),
    gauge('transfers_running', 'Blobs that are being downloaded.', [], () => [{ value: reading().length }]),
    gauge('transfer_readers', 'Clients and relays that read running transfers.', [], () => [{ value: sum(reading()) }]),
    gauge('transfer_readers_max', 'Readers of the transfer that has most.', [], () => [
      { value: Math.max(0, ...reading()) },
    ]),
    histogram('transfer_readers_served', 'Readers that each ended transfer has had.', [], () => [
      { distribution: pulls.readers },
    ]),
    counter('transfer_withheld_tails_total', 'Ends of bodies that waited for the digest.', [], () => [
      { value: pulls.transferEvents.withheld },
    ]),
    counter('transfer_resumes_total', 'Downloads that went on after a broken connection.', [], () => [
      { value: pulls.transferEvents.resume },
    ]),
    counter('transfer_restarts_total', 'Downloads that began anew, as the upstream knows no ranges.', [], () => [
      { value: pulls.transferEvents.restart },
    ]),
    counter('transfer_connections_total', 'Connections opened beside the first one of a download.', [], () => [
      { value: pulls.transferEvents.connection },
    ]),
    counter(
      'transfer_not_kept_total',
      'Downloads that were served but not kept, as disk or store were full.',
      [],
      () => [{ value: pulls.transferEvents.full }],
    ),
    counter('relay_sent_bytes_total', 'Bytes of running transfers sent to other processes.', [], () => [
      { value: pulls.relayBytes },
    ]),
    gauge('relay_readers', 'Streams of running transfers to other processes.', [], () => [
      { value: pulls.relayReaders },
    ]),
  ];
}
