import { compileReplay } from './generators.mjs';
import { startMock, tagRequests } from './mock.mjs';
import { startOurs } from './peers.mjs';
import { measure, median } from './rounds.mjs';

const REPOSITORIES = 1000;
const CLIENTS = 64;

/**
 * Repositories that nobody has pulled yet, from an upstream that demands bearer tokens and from one that demands nothing, each taking
 * 20 ms for an answer. Every round has a new cache. A token is for one repository, so each must be bought once and only once.
 */
export const tokens = {
  unit: 'side by side',
  commands: ['cc'],
  clients: CLIENTS,
  async run({ folder, settings, say }) {
    const replay = compileReplay(folder);
    const sides = [
      { name: 'no auth', flags: [] },
      { name: 'bearer', flags: ['--auth', 'bearer'] },
    ];
    const rounds = [];
    for (let round = 0; round < settings.rounds; round++) {
      for (const { name, flags } of round % 2 ? sides.toReversed() : sides) {
        const started = [];
        try {
          const mock = await startMock(folder, { repositories: REPOSITORIES, flags: ['--latency', '20', ...flags] });
          started.push(mock);
          const more = { prefetch: { enabled: false } };
          const ours = await startOurs(folder, { upstream: mock.host, data: `data-${name[0]}${round}`, more });
          started.push(ours);
          const groups = tagRequests(mock.host, REPOSITORIES).map((request) => [request]);
          const load = (server) => replay(server, { groups, clients: CLIENTS });
          const result = { round, ...(await measure(ours, load)), server: name };
          if (result.errors > 0) throw new Error(`${name}: ${result.errors} failed requests (${result.reason})`);
          const seen = await mock.requests();
          rounds.push({ ...result, bought: seen['GET token 200'] ?? 0, upstreamRequests: seen });
          say(`${name} ${result.seconds.toFixed(2)} s, ${seen['GET token 200'] ?? 0} tokens`);
        } finally {
          for (const server of started.reverse()) await server.stop();
        }
      }
    }
    const of = (name, value) => median(rounds.filter(({ server }) => server === name).map(value));
    const summary = sides.map(({ name }) => ({
      upstream: name,
      seconds: of(name, (r) => r.seconds).toFixed(2),
      'seconds / no auth': (of(name, (r) => r.seconds) / of('no auth', (r) => r.seconds)).toFixed(2),
      'p99 ms': of(name, (r) => r.total.p99 / 1000).toFixed(0),
      'tokens bought': of(name, (r) => r.bought),
    }));
    return { cases: [{ name: `${REPOSITORIES} cold repositories, upstream at 20 ms`, summary, rounds }], configs: {} };
  },
};
