import { fillCatalog, openCatalog } from './fill.mjs';
import { compileReplay } from './generators.mjs';
import { startNginx, startOurs } from './peers.mjs';
import { measure, median } from './rounds.mjs';
import { fetchObject } from './warm.mjs';

/** Manifests that the catalog is filled up to; fewer for a trial of the bench itself. */
const MANIFESTS = Number(process.env.BENCH_MANIFESTS ?? 1_000_000);
const IMAGES = 300;
const LAYERS = [8192, 8192, 8192, 8192];
const CLIENTS = 16;
const ASKED = 20;

/**
 * A catalog of a million manifests and ten million content rows, beside the same server when it was nearly empty: what clients
 * see of cached images, and what an operator waits for. Nothing else is measured against, as no peer has such questions.
 */
export const scale = {
  unit: 'side by side',
  commands: ['cc'],
  clients: CLIENTS,
  async run({ folder, content, settings, say }) {
    const replay = compileReplay(folder);
    const images = Array.from({ length: IMAGES }, (_, i) => content.image(`walk/app-${i}`, 'v1', LAYERS));
    const upstream = await startNginx(folder, { name: 'upstream', root: content.staticRoot });
    const { host } = new URL(upstream.url);
    // A year: no tag is asked for again meanwhile. A day: what is measured is in use. No budget: no bytes are stored for the rows.
    const more = { tags: { fresh: '365d' }, cache: { maxSize: '100TiB' } };
    const ours = await startOurs(folder, { upstream: host, more });
    let client;
    try {
      const admin = `http://127.0.0.1:${ours.config.adminPort}/api/v1`;
      const groups = images.map(({ index, manifest, config, layers }) => [
        `HEAD ${index.byTag}?ns=${host}`,
        ...[index, manifest, config, ...layers].map(({ path }) => `GET ${path}?ns=${host}`),
      ]);
      for (const object of content.objects) await fetchObject(ours, object, `?ns=${host}`);
      const walk = async (name, more = () => false) => {
        await replay(ours, { groups, clients: CLIENTS, seconds: settings.warmUpSeconds });
        const rounds = [];
        for (let round = 0; round < settings.rounds || more(); round++) {
          const load = (server) => replay(server, { groups, clients: CLIENTS, seconds: settings.seconds });
          const result = { round, catalog: name, ...(await measure(ours, load)) };
          if (result.errors > 0) throw new Error(`${result.errors} failed requests (${result.reason})`);
          rounds.push(result);
          say(`${name}: ${Math.round(result.requests / result.seconds)} req/s, p99 ${result.total.p99 / 1000} ms`);
        }
        return rounds;
      };
      const empty = await walk('nearly empty');
      client = await openCatalog(ours.config.dataDir);
      const rows = await fillCatalog(client, MANIFESTS, say);
      const full = await walk('full');
      const operator = await ask(admin, say);
      let going = true;
      const asked = ask(admin, say).finally(() => {
        going = false;
      });
      const busy = await walk('full, while an operator asks', () => going);
      const meanwhile = await asked;
      const line = (rounds) => ({
        catalog: rounds[0].catalog,
        'req/s': Math.round(median(rounds.map((r) => r.requests / r.seconds))),
        'p50 ms': median(rounds.map((r) => r.total.p50 / 1000)).toFixed(1),
        'p99 ms': median(rounds.map((r) => r.total.p99 / 1000)).toFixed(1),
        'cores used by others': Math.max(...rounds.map(({ otherCores }) => otherCores)).toFixed(1),
      });
      return {
        cases: [
          {
            name: `${CLIENTS} clients walk`,
            summary: [empty, full, busy].map(line),
            rounds: [...empty, ...full, ...busy],
          },
          { name: 'questions to the full catalog', summary: operator, rounds: [], rows },
          { name: `the same while ${CLIENTS} clients walk`, summary: meanwhile, rounds: [] },
        ],
        configs: { more },
      };
    } finally {
      await client?.end();
      await ours.stop();
      await upstream.stop();
    }
  },
};

/** Every question many times; a plan once, as it may take a minute. */
async function ask(admin, say) {
  const questions = {
    stats: () => fetch(`${admin}/stats`),
    'images, first page': () => fetch(`${admin}/images`),
    'images, a page in the middle': () => fetch(`${admin}/images?upstream=scale3.example&limit=100`),
    'images by last access': () => fetch(`${admin}/images?sort=-lastAccess`),
    'prune plan of a tenth': () => post(`${admin}/prune/plan`, { unusedFor: '90d' }),
    'prune plan of a tenth by size': async () => {
      const { content } = await (await fetch(`${admin}/stats`)).json();
      return post(`${admin}/prune/plan`, { toSize: Math.floor(content.blobBytes * 0.9) });
    },
  };
  const lines = [];
  for (const [name, question] of Object.entries(questions)) {
    const seconds = [];
    let planned;
    for (let n = 0; n < (name.startsWith('prune') ? 1 : ASKED); n++) {
      const begun = performance.now();
      const answer = await question();
      const body = await answer.json();
      if (!answer.ok) throw new Error(`${name}: ${answer.status} ${JSON.stringify(body)}`);
      seconds.push((performance.now() - begun) / 1000);
      planned = body.planned;
      if (planned) await fetch(`${admin}/prune/${body.id}`, { method: 'DELETE' });
    }
    const images = planned ? `${planned.images} images, ${planned.blobs} blobs` : '';
    lines.push({
      question: name,
      'median ms': Math.round(median(seconds) * 1000),
      'longest ms': Math.round(Math.max(...seconds) * 1000),
      planned: images,
    });
    say(`${name}: ${lines.at(-1)['median ms']} ms ${images}`);
  }
  return lines;
}

function post(url, body) {
  return fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
}
