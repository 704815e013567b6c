import { loadavg } from 'node:os';
import { busySeconds } from './machine.mjs';
import { finishedChildrenSeconds, watch } from './processes.mjs';

/**
 * Measures one server under one load: what the generator saw, with the CPU of the server and its children, of the generator,
 * and of everything else on the machine (in cores), and the server's peak memory.
 */
export async function measure(server, load) {
  const busyBefore = busySeconds();
  const childrenBefore = finishedChildrenSeconds();
  const selfBefore = process.cpuUsage();
  const startedAt = performance.now();
  const watched = watch(server.pids ?? [server.pid]);
  const seen = await load(server);
  const { cpuSeconds, ...peaks } = watched.stop();
  const wallSeconds = (performance.now() - startedAt) / 1000;
  const generatorSeconds = finishedChildrenSeconds() - childrenBefore;
  const self = process.cpuUsage(selfBefore);
  const selfSeconds = (self.user + self.system) / 1e6;
  const otherSeconds = Math.max(0, busySeconds() - busyBefore - cpuSeconds - generatorSeconds - selfSeconds);
  return {
    server: server.name,
    ...seen,
    cpuSeconds,
    generatorCpuSeconds: generatorSeconds,
    otherCores: otherSeconds / wallSeconds,
    loadAverage: loadavg()[0],
    ...peaks,
  };
}

/** Goes round the servers `rounds` times, a different one first each time, after one short run of each that does not count. */
export async function interleave(servers, { rounds, seconds, warmUpSeconds }, load, say) {
  for (const server of servers) await load(server, warmUpSeconds);
  const results = [];
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < servers.length; turn++) {
      const server = servers[(round + turn) % servers.length];
      const result = { round, ...(await measure(server, (one) => load(one, seconds))) };
      if (result.errors > 0) throw new Error(`${server.name}: ${result.errors} failed requests (${result.reason})`);
      results.push(result);
      say(result);
    }
  }
  return results;
}

/** One line for each server: medians over the rounds, and `ociregistry`'s rate over its rate, round by round. */
export function summarize(results, unit) {
  const rate = unit === 'GB' ? (r) => r.bytes / 1e9 / r.seconds : (r) => r.requests / r.seconds;
  const cpu = unit === 'GB' ? (r) => r.cpuSeconds / (r.bytes / 1e9) : (r) => (r.cpuSeconds / r.requests) * 1e6;
  const ours = results.filter(({ server }) => server === 'ociregistry');
  return [...new Set(results.map(({ server }) => server))].map((server) => {
    const own = results.filter((result) => result.server === server);
    const ratios = (value) =>
      own.map((r) => [ours.find(({ round }) => round === r.round), r]).map(([a, b]) => value(a) / value(b));
    return {
      server,
      rate: median(own.map(rate)),
      rateRange: [Math.min(...own.map(rate)), Math.max(...own.map(rate))],
      cpu: median(own.map(cpu)),
      peakRssBytes: Math.max(...own.map(({ peakRssBytes }) => peakRssBytes)),
      peakPssBytes: Math.max(...own.map(({ peakPssBytes }) => peakPssBytes)),
      p50Ms: median(own.map(({ total }) => total.p50 / 1000)),
      p99Ms: median(own.map(({ total }) => total.p99 / 1000)),
      generatorCores: median(own.map((r) => r.generatorCpuSeconds / r.seconds)),
      otherCores: Math.max(...own.map(({ otherCores }) => otherCores)),
      ...(ours.length > 0 ? { rateRatio: median(ratios(rate)), cpuRatio: median(ratios(cpu)) } : {}),
    };
  });
}

export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
