import { compileReplay } from './generators.mjs';
import { startDockerRegistry, startOurs } from './peers.mjs';
import { measure, median } from './rounds.mjs';
import { fetchObject } from './warm.mjs';

const SIZE = 256 * 1024 * 1024;
/** Clients that stream large blobs. */
const READERS = 8;
/** Clients that ask for the manifest. */
const CLIENTS = 8;

/** How long a manifest takes while large blobs stream, beside how long it takes when nothing else happens. */
export const warmP99 = {
  unit: 'side by side',
  commands: ['cc'],
  clients: CLIENTS,
  async run({ folder, content, settings, say }) {
    const replay = compileReplay(folder);
    const { manifest } = content.image('bench/app', 'v1', [8192]);
    const layer = content.layer('bench/large', SIZE);
    const started = [];
    try {
      const upstream = await startDockerRegistry(folder, { name: 'upstream', root: content.registryRoot });
      started.push(upstream);
      const { host } = new URL(upstream.url);
      const ours = await startOurs(folder, { upstream: host });
      started.push(ours);
      const query = `?ns=${host}`;
      for (const object of [manifest, layer]) await fetchObject(ours, object, query);
      const manifests = [[`GET ${manifest.path}${query}`]];
      const blobs = [[`GET ${layer.path}${query}`]];
      const { seconds } = settings;
      // Half of what it can do with nothing else: paced, since a client that waits for its answer hides a slow server.
      const full = await replay(ours, { groups: manifests, clients: CLIENTS, seconds: 2 });
      const rate = Math.floor(full.requests / full.seconds / 2);
      const paced = (server) => replay(server, { groups: manifests, clients: CLIENTS, seconds, rate });
      const sides = {
        idle: paced,
        streaming: async (server) => {
          const streaming = replay(server, { groups: blobs, clients: READERS, seconds: seconds + 1, name: 'blobs' });
          const seen = await paced(server);
          const { bytes, seconds: taken } = await streaming;
          return { ...seen, gbPerSecond: bytes / 1e9 / taken };
        },
      };
      const rounds = [];
      for (let round = 0; round < settings.rounds; round++) {
        for (const name of round % 2 ? ['streaming', 'idle'] : ['idle', 'streaming']) {
          const result = { round, ...(await measure(ours, sides[name])), server: name };
          if (result.errors > 0) throw new Error(`${name}: ${result.errors} failed requests (${result.reason})`);
          rounds.push(result);
          say(`${name}: p99 ${(result.total.p99 / 1000).toFixed(2)} ms, others ${result.otherCores.toFixed(2)} cores`);
        }
      }
      const of = (name, value) => median(rounds.filter(({ server }) => server === name).map(value));
      const summary = Object.keys(sides).map((name) => ({
        meanwhile: name,
        'req/s': Math.round(of(name, (r) => r.requests / r.seconds)),
        'p50 ms': of(name, (r) => r.total.p50 / 1000).toFixed(2),
        'p99 ms': of(name, (r) => r.total.p99 / 1000).toFixed(2),
        'p99 / idle': (of(name, (r) => r.total.p99) / of('idle', (r) => r.total.p99)).toFixed(2),
        'blobs GB/s': name === 'idle' ? '' : of(name, (r) => r.gbPerSecond).toFixed(2),
      }));
      return { cases: [{ name: `manifest at ${rate} req/s, ${READERS} blobs`, summary, rounds }], configs: {} };
    } finally {
      for (const server of started.reverse()) await server.stop();
    }
  },
};
