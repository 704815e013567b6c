import { fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compileReplay } from './generators.mjs';
import { startDockerRegistry, startOurs } from './peers.mjs';
import { measure, median } from './rounds.mjs';
import { fetchObject, portable } from './warm.mjs';

const SIZE = 256 * 1024 * 1024;
const UPSTREAM_BYTES_PER_SECOND = 100e6;

/**
 * One blob that no cache has, asked for by `clients` at once, from an upstream that sends 100 MB/s in all: through us, through
 * docker-registry as a pull-through cache and, if asked for, directly. Every turn has a blob of its own. What the upstream
 * was asked for is read from its access log.
 */
export async function compareCold({ folder, content, settings, clients, direct, say }) {
  const replay = compileReplay(folder);
  const started = [];
  const keep = async (starting) => {
    const server = await starting;
    started.push(server);
    return server;
  };
  try {
    const upstream = await keep(
      startDockerRegistry(folder, { name: 'upstream', root: content.registryRoot, accessLog: true }),
    );
    const limited = await keep(startShaper(new URL(upstream.url).port, UPSTREAM_BYTES_PER_SECOND));
    const { host } = new URL(limited.url);
    const cache = join(folder, 'pull-through');
    const servers = [
      ...(settings.ours ? [await keep(startOurs(folder, { upstream: host }))] : []),
      await keep(startDockerRegistry(folder, { root: cache, remote: limited.url })),
      ...(direct ? [{ ...limited, name: 'direct' }] : []),
    ];
    const results = [];
    for (let round = 0; round < settings.rounds; round++) {
      for (let turn = 0; turn < servers.length; turn++) {
        const server = servers[(round + turn) % servers.length];
        const blob = content.layer(`cold/${round}-${server.name}`, SIZE);
        // What was written must not be flushed while it is measured.
        spawnSync('sync');
        const path = `${blob.path}?ns=${host}`;
        const groups = Array.from({ length: clients }, () => [`GET ${path}`]);
        const result = {
          round,
          digest: blob.digest,
          ...(await measure(server, (one) => replay(one, { groups, clients }))),
        };
        if (result.errors > 0) throw new Error(`${server.name}: ${result.errors} failed requests (${result.reason})`);
        if (server.name === 'ociregistry') await fetchObject(server, blob, `?ns=${host}`);
        results.push(result);
        say(`${server.name} ${result.seconds.toFixed(2)} s, first byte ${(result.firstByte.p50 / 1000).toFixed(0)} ms`);
      }
    }
    for (const server of started.splice(0).reverse()) await server.stop();
    const rounds = withUpstream(results, readFileSync(upstream.log, 'utf8'));
    const configs = Object.fromEntries(servers.map(({ name, config }) => [name, portable(config ?? {}, folder)]));
    return { cases: [{ name: `${clients} client(s), 256 MiB`, summary: summarizeCold(rounds), rounds }], configs };
  } finally {
    for (const server of started.reverse()) await server.stop();
  }
}

async function startShaper(targetPort, bytesPerSecond) {
  const child = fork(fileURLToPath(new URL('shaper.mjs', import.meta.url)), [`${targetPort}`, `${bytesPerSecond}`]);
  const [port] = await once(child, 'message');
  const stop = async () => {
    child.disconnect();
    await once(child, 'exit');
  };
  return { url: `http://127.0.0.1:${port}`, stop };
}

/** Adds how often the upstream was asked for each blob, and what it sent of it. */
function withUpstream(results, accessLog) {
  const seen = new Map(results.map(({ digest }) => [digest, { upstreamGets: 0, upstreamBytes: 0 }]));
  for (const [, digest, bytes] of accessLog.matchAll(
    /"GET \S*\/blobs\/(sha256:[0-9a-f]{64})\S* HTTP\/1\.1" \d+ (\d+)/g,
  )) {
    const counted = seen.get(digest);
    if (!counted) continue;
    counted.upstreamGets++;
    counted.upstreamBytes += Number(bytes);
  }
  return results.map((result) => ({ ...result, ...seen.get(result.digest) }));
}

function summarizeCold(results) {
  return [...new Set(results.map(({ server }) => server))].map((server) => {
    const own = results.filter((result) => result.server === server);
    const middle = (value) => median(own.map(value));
    return {
      server,
      seconds: middle((r) => r.seconds),
      secondsRange: [Math.min(...own.map((r) => r.seconds)), Math.max(...own.map((r) => r.seconds))],
      firstByteMs: middle((r) => r.firstByte.p50 / 1000),
      firstByteMaxMs: Math.max(...own.map((r) => r.firstByte.max / 1000)),
      upstreamGets: Math.max(...own.map((r) => r.upstreamGets)),
      upstreamCopies: middle((r) => r.upstreamBytes / SIZE),
      cpu: middle((r) => r.cpuSeconds / (r.bytes / 1e9)),
      peakRssBytes: Math.max(...own.map((r) => r.peakRssBytes)),
      otherCores: Math.max(...own.map((r) => r.otherCores)),
    };
  });
}
