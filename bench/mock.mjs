import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort, start } from './processes.mjs';

const repository = fileURLToPath(new URL('..', import.meta.url));
const compiled = join(repository, 'node_modules/.cache/mock-upstream');

/** The mock upstream of the tests as a process of its own: `{url, host, requests(), stop()}`; `flags` as it has them. */
export async function startMock(folder, { repositories, flags = [] }) {
  const from = ['test/support/upstream', '-d', compiled, '--strip-leading-paths', '--config-file', '.swcrc', '-q'];
  const built = spawnSync(join(repository, 'node_modules/.bin/swc'), from, { cwd: repository, encoding: 'utf8' });
  if (built.status !== 0) throw new Error(`cannot compile the mock upstream: ${built.stderr}`);
  const port = await freePort();
  const args = [join(compiled, 'support/upstream/mock.js'), '--port', `${port}`, '--repositories', `${repositories}`];
  const running = start(process.execPath, [...args, '--layers', '2000', ...flags], { log: join(folder, 'mock.log') });
  const url = `http://127.0.0.1:${port}`;
  const requests = () => fetch(`${url}/_requests`).then((response) => response.json());
  for (let tries = 0; ; tries++) {
    if (await requests().catch(() => undefined)) break;
    if (running.exited !== undefined || tries > 200) throw new Error(`the mock upstream does not answer at ${url}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return { url, host: `127.0.0.1:${port}`, requests, stop: () => running.stop() };
}

/** `GET` of each repository's tag, as containerd asks a mirror. */
export function tagRequests(host, repositories) {
  return Array.from({ length: repositories }, (_, i) => `GET /v2/mock/app-${i + 1}/manifests/v1?ns=${host}`);
}
