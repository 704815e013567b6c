import { compileReplay } from './generators.mjs';
import { startMock } from './mock.mjs';
import { startOurs } from './peers.mjs';
import { measure, median } from './rounds.mjs';

const IMAGES = 20;

/**
 * Small images of a platform index that no cache has, one client, an upstream that takes 20 ms for an answer: HEAD and GET of the
 * index by its tag, then manifest, config and four layers in order, through us and directly.
 */
export const coldImage = {
  unit: 'side by side',
  commands: ['cc'],
  clients: 1,
  async run({ folder, settings, say }) {
    const replay = compileReplay(folder);
    const rounds = [];
    for (let round = 0; round < settings.rounds; round++) {
      const started = [];
      try {
        const flags = ['--latency', '20', '--platforms', 'linux/amd64', '--layers', '8192,8192,8192,8192'];
        const mock = await startMock(folder, { repositories: IMAGES, flags });
        started.push(mock);
        const ours = await startOurs(folder, { upstream: mock.host, data: `data-${round}` });
        started.push(ours);
        const groups = await walks(mock, IMAGES);
        const sides = [ours, { name: 'direct', url: mock.url, pids: [] }];
        for (const server of round % 2 ? sides.toReversed() : sides) {
          const load = (one) => replay(one, { groups, clients: 1 });
          const result = { round, ...(await measure(server, load)), server: server.name };
          if (result.errors > 0) throw new Error(`${server.name}: ${result.errors} failed requests (${result.reason})`);
          rounds.push(result);
          say(`${server.name} ${((result.seconds * 1000) / IMAGES).toFixed(0)} ms an image`);
        }
      } finally {
        for (const server of started.reverse()) await server.stop();
      }
    }
    const of = (name, value) => median(rounds.filter(({ server }) => server === name).map(value));
    const summary = ['ociregistry', 'direct'].map((name) => ({
      server: name,
      'ms an image': ((of(name, (r) => r.seconds) * 1000) / IMAGES).toFixed(0),
      'times direct': (of(name, (r) => r.seconds) / of('direct', (r) => r.seconds)).toFixed(2),
      'cores used by others': Math.max(...rounds.map((r) => r.otherCores)).toFixed(1),
    }));
    return { cases: [{ name: `${IMAGES} images, upstream at 20 ms`, summary, rounds }], configs: {} };
  },
};

/** What containerd asks for each image, with `ns`. */
async function walks(mock, images) {
  const ask = async (path) => (await fetch(`${mock.url}${path}`)).json();
  const walk = async (n) => {
    const base = `/v2/mock/app-${n + 1}`;
    const index = await ask(`${base}/manifests/v1`);
    const [{ digest }] = index.manifests;
    const { config, layers } = await ask(`${base}/manifests/${digest}`);
    const blobs = [config, ...layers].map((blob) => `${base}/blobs/${blob.digest}`);
    const gets = [`${base}/manifests/v1`, `${base}/manifests/${digest}`, ...blobs];
    return [`HEAD ${base}/manifests/v1?ns=${mock.host}`, ...gets.map((path) => `GET ${path}?ns=${mock.host}`)];
  };
  return Promise.all(Array.from({ length: images }, (_, n) => walk(n)));
}
