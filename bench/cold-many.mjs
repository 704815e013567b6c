import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { compileReplay } from './generators.mjs';
import { startNginx, startNginxCache, startOurs } from './peers.mjs';
import { measure, summarize } from './rounds.mjs';
import { portable } from './warm.mjs';

const IMAGES = 1500;
const LAYERS = [8192, 8192, 8192, 8192];
const CLIENTS = 10;

/**
 * Small images that no cache has, each pulled once (8 requests in order): the cost of a miss. The upstream is nginx, so
 * that it is not what limits; every round begins with empty caches. docker-registry is left out: it takes no upstream that
 * does not send `Docker-Content-Digest`.
 */
export const coldMany = {
  unit: 'request',
  commands: ['cc'],
  clients: CLIENTS,
  async run({ folder, content, settings, say }) {
    const replay = compileReplay(folder);
    const images = Array.from({ length: IMAGES }, (_, i) => content.image(`many/app-${i}`, 'v1', LAYERS));
    const upstream = await startNginx(folder, { name: 'upstream', root: content.staticRoot });
    const { host } = new URL(upstream.url);
    const groups = images.map(({ index, manifest, config, layers }) => [
      `HEAD ${index.byTag}?ns=${host}`,
      ...[index, manifest, config, ...layers].map(({ path }) => `GET ${path}?ns=${host}`),
    ]);
    const rounds = [];
    const configs = {};
    const turns = [
      ...(settings.ours ? [(own) => startOurs(own, { upstream: host })] : []),
      (own) => startNginxCache(own, { upstream: host }),
    ];
    try {
      for (let round = 0; round < settings.rounds; round++) {
        for (let turn = 0; turn < turns.length; turn++) {
          const own = join(folder, `turn-${round}-${turn}`);
          mkdirSync(own);
          const server = await turns[(round + turn) % turns.length](own);
          configs[server.name] ??= portable(server.config, own);
          try {
            const result = { round, ...(await measure(server, (one) => replay(one, { groups, clients: CLIENTS }))) };
            if (result.errors > 0)
              throw new Error(`${server.name}: ${result.errors} failed requests (${result.reason})`);
            rounds.push(result);
            say(`${server.name} ${(IMAGES / result.seconds).toFixed(0)} images/s`);
          } finally {
            await server.stop();
          }
        }
      }
    } finally {
      await upstream.stop();
    }
    return { cases: [{ name: `${IMAGES} images, once each`, summary: summarize(rounds, 'request'), rounds }], configs };
  },
};
