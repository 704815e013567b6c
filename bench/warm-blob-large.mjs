import { compileReplay } from './generators.mjs';
import { compareWarm } from './warm.mjs';

const SIZE = 256 * 1024 * 1024;

/** A large cached layer read by a few clients at once. wrk would limit: it reads 8 KB at a time. */
export const warmBlobLarge = {
  unit: 'GB',
  commands: ['cc'],
  clients: 4,
  run({ content, ...bench }) {
    const replay = compileReplay(bench.folder);
    const { path } = content.image('bench/large', 'v1', [SIZE]).layers[0];
    const load = (server, seconds, query) =>
      replay(server, { groups: [[`GET ${path}${query}`]], clients: this.clients, seconds });
    return compareWarm({ ...bench, content, unit: this.unit, cases: [{ name: '256 MiB', load }] });
  },
};
