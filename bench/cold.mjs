import { fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compileReplay } from './generators.mjs';
import { startDockerRegistry, startNginx, startNginxCache, startOurs, startSpread } from './peers.mjs';
import { measure, median } from './rounds.mjs';
import { fetchObject, portable } from './warm.mjs';

const MIB = 1024 * 1024;

/**
 * One blob of `size` bytes that no cache has, asked for by `clients` at once, from an upstream whose answers share `total` bytes
 * a second, or have `each` for every connection: through the servers named in `through` (`ours`, `spread`: ours as two
 * gateways and two pullers, `docker-registry` and `nginx` as pull-through caches) and by one client directly. Every turn has a
 * blob of its own. What the upstream was asked for is read from its access log.
 */
export async function compareCold({ folder, content, settings, say, clients, size = 256 * MIB, total, each, through }) {
  const replay = compileReplay(folder);
  const started = [];
  const keep = async (starting) => {
    const server = await starting;
    started.push(server);
    return server;
  };
  try {
    const log = join(folder, 'upstream-requests.log');
    const upstream = await keep(
      startNginx(folder, { name: 'upstream', root: content.staticRoot, accessLog: log, rate: each }),
    );
    const limited = total ? await keep(startShaper(new URL(upstream.url).port, total)) : upstream;
    const { host } = new URL(limited.url);
    const starts = {
      ours: () => startOurs(folder, { upstream: host }),
      spread: () => startSpread(folder, { upstream: host }),
      'docker-registry': () => startDockerRegistry(folder, { root: join(folder, 'pull-through'), remote: limited.url }),
      nginx: () => startNginxCache(own(folder, 'nginx'), { upstream: host }),
    };
    const servers = [{ ...limited, name: 'direct', clients: 1 }];
    for (const name of through)
      if (settings.ours || !['ours', 'spread'].includes(name)) servers.push(await keep(starts[name]()));
    const results = [];
    for (let round = 0; round < settings.rounds; round++) {
      for (let turn = 0; turn < servers.length; turn++) {
        const server = servers[(round + turn) % servers.length];
        const blob = content.layer(`cold/${round}-${turn}-${server.name.replace(/[^a-z]+/g, '-')}`, size);
        // What was written must not be flushed while it is measured.
        spawnSync('sync');
        const path = `${blob.path}?ns=${host}`;
        const result = {
          round,
          digest: blob.digest,
          ...(await measure(server, (one) => readAtOnce(one, { replay, path, clients: server.clients ?? clients }))),
        };
        if (result.errors > 0) throw new Error(`${server.name}: ${result.errors} failed requests (${result.reason})`);
        if (server.name !== 'direct') await fetchObject({ url: server.url ?? server.urls[0] }, blob, `?ns=${host}`);
        results.push(result);
        const first = (result.firstByte.p50 / 1000).toFixed(0);
        say(`${server.name} ${result.seconds.toFixed(2)} s, first byte ${first} ms`);
      }
    }
    for (const server of started.splice(0).reverse()) await server.stop();
    const rounds = withUpstream(results, readFileSync(log, 'utf8'));
    const configs = Object.fromEntries(servers.map(({ name, config }) => [name, portable(config ?? {}, folder)]));
    const name = `${clients} client(s), ${size / MIB} MiB`;
    return { cases: [{ name, summary: summarizeCold(rounds, size), rounds }], configs };
  } finally {
    for (const server of started.reverse()) await server.stop();
  }
}

function own(folder, name) {
  const directory = join(folder, name);
  mkdirSync(directory, { recursive: true });
  return directory;
}

/** All clients at once, spread over the server's addresses. */
async function readAtOnce({ url, urls = [url] }, { replay, path, clients }) {
  const parts = await Promise.all(
    urls.map((one, n) => {
      const some = Math.ceil((clients - n) / urls.length);
      return replay(
        { url: one },
        { groups: Array.from({ length: some }, () => [`GET ${path}`]), clients: some, name: `readers-${n}` },
      );
    }),
  );
  const most = (value) => Math.max(...parts.map(value));
  const sum = (value) => parts.reduce((all, part) => all + value(part), 0);
  return {
    seconds: most((part) => part.seconds),
    requests: sum((part) => part.requests),
    bytes: sum((part) => part.bytes),
    errors: sum((part) => part.errors),
    reason: parts.map(({ reason }) => reason).join(''),
    firstByte: { p50: most((part) => part.firstByte.p50), max: most((part) => part.firstByte.max) },
    total: { p50: most((part) => part.total.p50), max: most((part) => part.total.max) },
  };
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
    /"GET \S*\/blobs\/(sha256:[0-9a-f]{64})\S* HTTP\/1\.[01]" \d+ (\d+)/g,
  )) {
    const counted = seen.get(digest);
    if (!counted) continue;
    counted.upstreamGets++;
    counted.upstreamBytes += Number(bytes);
  }
  return results.map((result) => ({ ...result, ...seen.get(result.digest) }));
}

function summarizeCold(results, size) {
  const direct = new Map(results.filter(({ server }) => server === 'direct').map((r) => [r.round, r.seconds]));
  return [...new Set(results.map(({ server }) => server))].map((server) => {
    const own = results.filter((result) => result.server === server);
    const middle = (value) => median(own.map(value));
    return {
      server,
      seconds: middle((r) => r.seconds),
      secondsRange: [Math.min(...own.map((r) => r.seconds)), Math.max(...own.map((r) => r.seconds))],
      directRatio: middle((r) => r.seconds / direct.get(r.round)),
      firstByteMs: middle((r) => r.firstByte.p50 / 1000),
      firstByteMaxMs: Math.max(...own.map((r) => r.firstByte.max / 1000)),
      upstreamGets: Math.max(...own.map((r) => r.upstreamGets)),
      upstreamCopies: middle((r) => r.upstreamBytes / size),
      cpu: middle((r) => r.cpuSeconds / (r.bytes / 1e9)),
      peakRssBytes: Math.max(...own.map((r) => r.peakRssBytes)),
      peakProcessRssBytes: Math.max(...own.map((r) => r.peakProcessRssBytes)),
      otherCores: Math.max(...own.map((r) => r.otherCores)),
    };
  });
}
