import { compileReplay } from './generators.mjs';
import { startNginx, startOurs } from './peers.mjs';
import { measure } from './rounds.mjs';
import { fetchObject } from './warm.mjs';

const IMAGES = 1000;
const LAYERS = [8192, 8192, 8192, 65_536];
const CLIENTS = 64;

/** 64 clients pull cached images while half of the cache, by size, is pruned, again and again; none of their pulls may fail. */
export const pruneUnderLoad = {
  unit: 'side by side',
  commands: ['cc'],
  clients: CLIENTS,
  async run({ folder, content, settings, say }) {
    const replay = compileReplay(folder);
    const images = Array.from({ length: IMAGES }, (_, i) => content.image(`half/app-${i}`, 'v1', LAYERS));
    const upstream = await startNginx(folder, { name: 'upstream', root: content.staticRoot });
    const { host } = new URL(upstream.url);
    // Without protection whatever is pulled may go at once, as when more is in use than the budget holds.
    const more = { cache: { protect: '0s' } };
    const ours = await startOurs(folder, { upstream: host, more });
    try {
      const admin = `http://127.0.0.1:${ours.config.adminPort}/api/v1`;
      const groups = images.map(({ index, manifest, config, layers }) => [
        `HEAD ${index.byTag}?ns=${host}`,
        ...[index, manifest, config, ...layers].map(({ path }) => `GET ${path}?ns=${host}`),
      ]);
      for (const object of content.objects) await fetchObject(ours, object, `?ns=${host}`);
      const walk = (seconds) => measure(ours, (server) => replay(server, { groups, clients: CLIENTS, seconds }));
      await walk(settings.warmUpSeconds);
      const rounds = [];
      for (let round = 0; round < settings.rounds; round++) {
        rounds.push({ round, meanwhile: 'nothing', pruned: 0, ...(await walk(settings.seconds)) });
        let going = true;
        let pruned = 0;
        const pruning = (async () => {
          while (going) pruned += await pruneToHalf(admin);
        })();
        const result = await walk(settings.seconds);
        going = false;
        await pruning;
        rounds.push({ round, meanwhile: 'pruning to half', pruned, ...result });
        say(`${result.requests} requests, ${result.errors} failed (${result.reason}), ${pruned} images pruned`);
      }
      const lines = ['nothing', 'pruning to half'].map((meanwhile) => {
        const own = rounds.filter((result) => result.meanwhile === meanwhile);
        const sum = (value) => own.reduce((all, result) => all + value(result), 0);
        return {
          meanwhile,
          requests: sum((r) => r.requests),
          'failed requests': sum((r) => r.errors),
          'images pruned': sum((r) => r.pruned),
          'req/s': Math.round(sum((r) => r.requests) / sum((r) => r.seconds)),
          'p99 ms': Math.max(...own.map((r) => r.total.p99 / 1000)).toFixed(1),
          'cores used by others': Math.max(...own.map((r) => r.otherCores)).toFixed(1),
        };
      });
      if (lines[1]['failed requests'] > 0) say(`${lines[1]['failed requests']} requests failed while pruning`);
      return { cases: [{ name: `${IMAGES} images, ${CLIENTS} clients`, summary: lines, rounds }], configs: { more } };
    } finally {
      await ours.stop();
      await upstream.stop();
    }
  },
};

/** How many images went. */
async function pruneToHalf(admin) {
  const { content } = await (await fetch(`${admin}/stats`)).json();
  const answer = await fetch(`${admin}/prune`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ toSize: Math.floor(content.blobBytes / 2), all: true }),
  });
  let job = await answer.json();
  if (!answer.ok) throw new Error(`prune: ${answer.status} ${JSON.stringify(job)}`);
  while (job.state === 'running') {
    await new Promise((resolve) => setTimeout(resolve, 50));
    job = await (await fetch(`${admin}/prune/${job.id}`)).json();
  }
  return job.removed.images;
}
