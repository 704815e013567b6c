import { compileReplay } from './generators.mjs';
import { compareWarm } from './warm.mjs';

const IMAGES = 1500;
const LAYERS = [8192, 8192, 8192, 8192];

/** Clients that pull one cached image after the other, as containerd does: 8 requests an image, in order. */
export const walk = {
  unit: 'request',
  commands: ['cc'],
  clients: [10, 64],
  run({ content, ...bench }) {
    const replay = compileReplay(bench.folder);
    const images = Array.from({ length: IMAGES }, (_, i) => content.image(`walk/app-${i}`, 'v1', LAYERS));
    const groups = (query) =>
      images.map(({ index, manifest, config, layers }) => [
        `HEAD ${index.byTag}${query}`,
        ...[index, manifest, config, ...layers].map(({ path }) => `GET ${path}${query}`),
      ]);
    const cases = this.clients.map((clients) => ({
      name: `${clients} clients`,
      load: (server, seconds, query) => replay(server, { groups: groups(query), clients, seconds }),
    }));
    return compareWarm({ ...bench, content, unit: this.unit, cases });
  },
};
