import { wrk } from './generators.mjs';
import { compareWarm } from './warm.mjs';

const SIZE = 8192;

/** The same small cached blob over and over: an image's config. */
export const warmBlobSmall = {
  unit: 'request',
  commands: ['wrk'],
  clients: 64,
  run({ content, ...bench }) {
    const { path } = content.image('bench/app', 'v1', [SIZE]).layers[0];
    const load = (server, seconds, query) => wrk(server, { path: `${path}${query}`, clients: this.clients, seconds });
    return compareWarm({ ...bench, content, unit: this.unit, cases: [{ name: `${SIZE / 1024} KiB`, load }] });
  },
};
