import type { Counters, Traffic } from '../traffic.js';
import { KINDS } from '../traffic.js';
import { counter, histogram, type Metric } from './metric.js';

/** The pull API. The first six are those of the Go server, by its names. */
export function requestMetrics(traffic: Traffic): Metric[] {
  const manifests = (of: keyof Counters) =>
    function* () {
      for (const { upstream, kind, counters } of traffic.entries())
        if (kind === 'manifest') yield { value: counters[of], labels: { ns: upstream } };
    };
  const served = (wanted: 'manifest' | 'blob') => () => {
    let value = 0;
    for (const { kind, counters } of traffic.entries()) if (kind === wanted) value += counters.hits + counters.misses;
    return [{ value }];
  };
  const each = (...of: (keyof Counters)[]) =>
    function* () {
      for (const { upstream, kind, counters } of traffic.entries())
        for (const name of of) yield { value: counters[name], labels: { upstream, kind } };
    };
  return [
    counter('cached_pulls_by_ns_total', 'Manifests served from the cache, by upstream.', ['ns'], manifests('hits')),
    counter('upstream_pulls_by_ns', 'Manifests that had to be asked of the upstream.', ['ns'], manifests('misses')),
    counter('manifest_pulls_total', 'Manifests served.', [], served('manifest')),
    counter('blob_pulls_total', 'Blobs served.', [], served('blob')),
    counter('v2_api_endpoint_hits_total', 'Requests of the pull API.', [], () => [{ value: traffic.total }]),
    counter('api_errors_total', 'Requests of the pull API that were answered with an error.', [], () => {
      let value = 0;
      for (const [status, count] of traffic.requests) if (status >= 400 && status !== CLIENT_LEFT) value += count;
      return [{ value }];
    }),
    counter('access_lines_dropped_total', 'Lines of the access log that were more than can be written.', [], () => [
      { value: traffic.linesDropped() },
    ]),
    counter('requests_total', 'Requests of the pull API, by status; 499: the client left.', ['status'], function* () {
      for (const [status, value] of traffic.requests) yield { value, labels: { status: String(status) } };
    }),
    histogram(
      'request_duration_seconds',
      'Time until an answer was handed over, by kind of content and how it came about.',
      ['kind', 'outcome'],
      function* () {
        for (const kind of KINDS)
          for (const [outcome, distribution] of traffic.latency[kind])
            yield { distribution, labels: { kind, outcome } };
      },
    ),
    counter(
      'stale_on_error_served_total',
      'Answers from the cache because the upstream could not be asked.',
      ['kind'],
      function* () {
        for (const kind of KINDS)
          yield { value: traffic.latency[kind].get('stale-on-error')?.count ?? 0, labels: { kind } };
      },
    ),
    counter(
      'content_requests_total',
      'Requests for content: answered without waiting (hit), after waiting (miss), or not (failure).',
      ['upstream', 'kind', 'result'],
      function* () {
        for (const { upstream, kind, counters } of traffic.entries()) {
          yield { value: counters.hits, labels: { upstream, kind, result: 'hit' } };
          yield { value: counters.misses, labels: { upstream, kind, result: 'miss' } };
          yield { value: counters.failures, labels: { upstream, kind, result: 'failure' } };
        }
      },
    ),
    counter('served_bytes_total', 'Bytes of content sent to clients.', ['upstream', 'kind'], each('bytesServed')),
    counter('fetched_bytes_total', 'Bytes received from upstreams.', ['upstream', 'kind'], each('bytesFetched')),
    counter('upstream_requests_total', 'Requests sent to upstreams.', ['upstream', 'kind'], each('upstreamRequests')),
  ];
}

/** As nginx counts it: nobody was there to be answered. */
const CLIENT_LEFT = 499;
