import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { startDockerRegistry, startNginx, startOurs } from './peers.mjs';
import { interleave, summarize } from './rounds.mjs';

const AT_ONCE = 32;

/**
 * Everything cached. The content is brought in by pulling it once through us from a docker-registry of its own; the peer is
 * another docker-registry that has it in its storage. Each server is asked for every object, and each body hashed, before
 * anything is measured. `cases` are `{name, load(server, seconds, query)}`.
 */
export async function compareWarm({ folder, content, settings, unit, cases, say }) {
  const started = [];
  const keep = async (starting) => {
    const server = await starting;
    started.push(server);
    return server;
  };
  try {
    const root = content.registryRoot;
    const upstream = await keep(startDockerRegistry(folder, { name: 'upstream', root }));
    const servers = [
      await keep(startDockerRegistry(folder, { root })),
      await keep(startNginx(folder, { root: content.staticRoot })),
    ];
    const { host } = new URL(upstream.url);
    if (settings.ours) servers.unshift(await keep(startOurs(folder, { upstream: host })));
    // What containerd sends to a mirror. The others ignore it, so that all get the same requests.
    const query = `?ns=${host}`;
    for (const server of servers) {
      const begun = performance.now();
      await fetchAll(server, content.objects, query);
      say(
        `${server.name}: ${content.objects.length} objects right, ${((performance.now() - begun) / 1000).toFixed(1)} s`,
      );
    }
    if (settings.ours) await fetchAll(servers[0], content.objects, query);
    const results = [];
    for (const { name, load } of cases) {
      const rounds = await interleave(
        servers,
        settings,
        (server, seconds) => load(server, seconds, query),
        (result) => say(`${name}: ${brief(result, unit)}`),
      );
      results.push({ name, summary: summarize(rounds, unit), rounds });
    }
    const configs = Object.fromEntries(servers.map(({ name, config }) => [name, portable(config, folder)]));
    return { cases: results, configs };
  } finally {
    for (const server of started.reverse()) await server.stop();
  }
}

/** Fetches and hashes objects, a few at once; throws at the first wrong one. */
async function fetchAll(server, objects, query = '') {
  const queue = objects.values();
  const client = async () => {
    for (const object of queue) await fetchObject(server, object, query);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, client));
}

/** Throws unless status, length and digest are right. */
export async function fetchObject(server, { path, digest, size, mediaType }, query) {
  const response = await fetch(`${server.url}${path}${query}`, { headers: { accept: `${mediaType}, */*` } });
  const wrong = (what) => new Error(`${server.name} ${path}: ${what}`);
  if (response.status !== 200) throw wrong(`${response.status} ${(await response.text()).slice(0, 300)}`);
  const hash = createHash('sha256');
  let length = 0;
  for await (const chunk of response.body) {
    hash.update(chunk);
    length += chunk.length;
  }
  if (length !== size || `sha256:${hash.digest('hex')}` !== digest)
    throw wrong(`${length} bytes that are not ${digest}`);
}

/** A configuration without this run's folder. */
export function portable(config, folder) {
  return JSON.parse(JSON.stringify(config).replaceAll(join(folder, '/'), 'RUN/'));
}

function brief(result, unit) {
  const rate =
    unit === 'GB'
      ? `${(result.bytes / 1e9 / result.seconds).toFixed(2)} GB/s`
      : `${Math.round(result.requests / result.seconds)} req/s`;
  return `${result.server} ${rate}, ${(result.cpuSeconds / result.seconds).toFixed(2)} cores (generator ${(result.generatorCpuSeconds / result.seconds).toFixed(2)}, others ${result.otherCores.toFixed(2)})`;
}
