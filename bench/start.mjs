import { readFileSync } from 'node:fs';
import { startDockerRegistry, startOurs } from './peers.mjs';
import { median } from './rounds.mjs';
import { fetchObject } from './warm.mjs';

const LIMIT_MS = 60_000;
/** Until a process that was started is idle: the first collections are over. */
const SETTLED_MS = 5_000;

/** From the start of the process until a cached manifest is answered, with a new data directory and with one that has content. */
export const start = {
  unit: 'side by side',
  commands: [],
  clients: 1,
  async run({ folder, content, settings, say }) {
    const { manifest } = content.image('bench/app', 'v1', [8192]);
    const upstream = await startDockerRegistry(folder, { name: 'upstream', root: content.registryRoot });
    try {
      const { host } = new URL(upstream.url);
      const query = `?ns=${host}`;
      const rounds = [];
      for (let round = 0; round < settings.rounds; round++) {
        const options = {
          upstream: host,
          data: `data-${round}`,
          waitFor: (server) => untilAnswered(server, `/v2/bench/app/manifests/v1${query}`),
        };
        for (const directory of ['new', 'existing']) {
          const server = await startOurs(folder, options);
          try {
            await fetchObject(server, manifest, query);
            await new Promise((resolve) => setTimeout(resolve, SETTLED_MS));
            const rss = residentBytes(server.pid);
            rounds.push({ round, directory, ms: server.startedMs, rss });
            say(`${directory}: ${Math.round(server.startedMs)} ms, ${Math.round(rss / 1e6)} MB`);
          } finally {
            await server.stop();
          }
        }
      }
      const summary = ['new', 'existing'].map((directory) => {
        const own = rounds.filter((result) => result.directory === directory);
        return {
          'data directory': directory,
          'first answer, s': (median(own.map(({ ms }) => ms)) / 1000).toFixed(2),
          'idle RSS of Node, MB': Math.round(median(own.map(({ rss }) => rss)) / 1e6),
        };
      });
      return { cases: [{ name: 'first answer', summary, rounds }], configs: {} };
    } finally {
      await upstream.stop();
    }
  },
};

async function untilAnswered(running, path) {
  const until = Date.now() + LIMIT_MS;
  for (;;) {
    const status = await fetch(`${running.url}${path}`).then(
      (response) => response.arrayBuffer().then(() => response.status),
      () => 0,
    );
    if (status === 200) return;
    if (Date.now() > until) throw new Error(`no answer but ${status} within ${LIMIT_MS / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function residentBytes(pid) {
  return 1024 * Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);
}
