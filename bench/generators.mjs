import { spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const beside = (name) => fileURLToPath(new URL(name, import.meta.url));
const COMPILER = 'cc';
const ACCEPT = 'application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, */*';

/**
 * Both generators resolve to `{seconds, requests, bytes, errors, reason, total: {p50, p99, max}}`, the compiled one with
 * `firstByte` as well; times are microseconds. `requests` counts complete responses.
 */

/** One path over and over from `clients` connections for `seconds`. */
export async function wrk(server, { path, clients, seconds }) {
  const args = ['-t2', `-c${clients}`, `-d${seconds}s`, '--timeout', '30s', '-s', beside('report.lua')];
  const output = await run('wrk', [...args, '-H', `Accept: ${ACCEPT}`, `${server.url}${path}`]);
  const line = output.split('\n').find((text) => text.startsWith('JSON '));
  if (!line) throw new Error(`wrk reported nothing: ${output}`);
  return JSON.parse(line.slice(5));
}

/**
 * Compiles the generator that walks; returns `replay(server, {groups, clients, seconds, rate, name})`, where no seconds is once
 * through, `rate` is groups a second in all, and `name` keeps apart what runs at the same time.
 */
export function compileReplay(folder) {
  const program = join(folder, 'replay');
  const built = spawnSync(COMPILER, ['-O2', '-pthread', '-o', program, beside('replay.c')], { encoding: 'utf8' });
  if (built.status !== 0) throw new Error(`cannot compile bench/replay.c: ${built.stderr}`);
  return async (server, { groups, clients, seconds = 0, rate = 0, name = 'requests' }) => {
    const file = join(folder, `${name}.txt`);
    writeFileSync(file, groups.map((requests) => `${requests.join('\n')}\n`).join('\n'));
    const { hostname, port } = new URL(server.url);
    return JSON.parse(await run(program, [hostname, port, `${clients}`, `${seconds}`, file, `${rate}`]));
  };
}

function run(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    let problems = '';
    child.stdout.on('data', (data) => {
      out += data;
    });
    child.stderr.on('data', (data) => {
      problems += data;
    });
    child.on('error', reject);
    child.on('close', (code) => (code === 0 ? resolve(out) : reject(new Error(`${command}: ${problems || code}`))));
  });
}
