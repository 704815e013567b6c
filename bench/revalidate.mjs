import { compileReplay } from './generators.mjs';
import { startMock, tagRequests } from './mock.mjs';
import { startOurs } from './peers.mjs';
import { measure, median } from './rounds.mjs';

const TAGS = 1000;
const CLIENTS = 64;

/**
 * Tags that are stale, so that every request has one checked behind the client's back, beside the same number that are fresh. The
 * upstream takes 50 ms for each answer; a client that waited for one would show it.
 */
export const revalidate = {
  unit: 'side by side',
  commands: ['cc'],
  clients: CLIENTS,
  async run({ folder, settings, say }) {
    const replay = compileReplay(folder);
    const started = [];
    try {
      for (const _ of ['fresh', 'stale'])
        started.push(await startMock(folder, { repositories: TAGS, flags: ['--latency', '50'] }));
      const [fresh, stale] = started;
      const more = {
        prefetch: { enabled: false },
        tags: { fresh: '1h', rules: [{ match: `${stale.host}/**:*`, fresh: '0s', stale: '24h' }] },
      };
      const ours = await startOurs(folder, { upstream: fresh.host, also: [stale.host], more });
      started.push(ours);
      const sides = [fresh, stale].map(({ host }, i) => ({
        name: i === 0 ? 'fresh' : 'stale',
        groups: tagRequests(host, TAGS).map((request) => [request]),
      }));
      for (const { groups } of sides) await replay(ours, { groups, clients: CLIENTS });
      const rounds = [];
      for (let round = 0; round < settings.rounds; round++) {
        for (const { name, groups } of round % 2 ? sides.toReversed() : sides) {
          const load = (server) => replay(server, { groups, clients: CLIENTS, seconds: settings.seconds });
          const result = { round, ...(await measure(ours, load)), server: name };
          if (result.errors > 0) throw new Error(`${name}: ${result.errors} failed requests (${result.reason})`);
          rounds.push(result);
          say(`${name} p99 ${(result.total.p99 / 1000).toFixed(1)} ms`);
        }
      }
      const of = (name, value) => median(rounds.filter(({ server }) => server === name).map(value));
      const summary = sides.map(({ name }) => ({
        tags: name,
        'req/s': Math.round(of(name, (r) => r.requests / r.seconds)),
        'p50 ms': of(name, (r) => r.total.p50 / 1000).toFixed(1),
        'p99 ms': of(name, (r) => r.total.p99 / 1000).toFixed(1),
        'p99 / fresh': (of(name, (r) => r.total.p99) / of('fresh', (r) => r.total.p99)).toFixed(2),
      }));
      const heads = (await stale.requests())['HEAD manifests 200'];
      say(`${heads} checks by HEAD meanwhile`);
      return { cases: [{ name: `${TAGS} tags, upstream at 50 ms`, summary, rounds, heads }], configs: { more } };
    } finally {
      for (const server of started.reverse()) await server.stop();
    }
  },
};
