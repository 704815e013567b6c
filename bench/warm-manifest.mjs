import { wrk } from './generators.mjs';
import { compareWarm } from './warm.mjs';

/** The same cached manifest over and over, by tag and by digest. */
export const warmManifest = {
  unit: 'request',
  commands: ['wrk'],
  clients: 64,
  run({ content, ...bench }) {
    const { index, manifest } = content.image('bench/app', 'v1', [8192]);
    const load = (path) => (server, seconds, query) =>
      wrk(server, { path: `${path}${query}`, clients: this.clients, seconds });
    const cases = [
      { name: 'by tag', load: load(index.byTag) },
      { name: 'by digest', load: load(manifest.path) },
    ];
    return compareWarm({ ...bench, content, unit: this.unit, cases });
  },
};
