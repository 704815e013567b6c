import { spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';

/** USER_HZ, which is 100 on every Linux that Node runs on. */
const TICKS = 100;
const PAGE = 4096;
const STOP_MS = 20_000;
const SAMPLE_MS = 250;

const servers = new Set();

/** Stops every server that still runs. */
export async function stopAll() {
  await Promise.all([...servers].map((server) => server.stop()));
}

/** Starts a server with its output in a file. Returns `{pid, stop(), exited}`; `exited` names the code once it has ended. */
export function start(command, args, { log, env }) {
  const output = openSync(log, 'a');
  const child = spawn(command, args, { stdio: ['ignore', output, output], env: { ...process.env, ...env } });
  closeSync(output);
  const running = { pid: child.pid, exited: undefined, stop };
  const ended = new Promise((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('exit', (code, signal) => resolve(`${code ?? signal}`));
  }).then((how) => {
    running.exited = how;
    servers.delete(running);
  });
  servers.add(running);
  async function stop() {
    if (running.exited !== undefined) return;
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await ended;
    clearTimeout(timer);
  }
  return running;
}

/** Resolves when the URL answers 200; rejects when the process ends or the time is over. */
export async function answers(running, url, log, limitMs = 60_000) {
  const until = Date.now() + limitMs;
  for (;;) {
    const ok = await fetch(url).then(
      (response) => response.arrayBuffer().then(() => response.ok),
      () => false,
    );
    if (ok) return;
    const late = Date.now() > until ? `does not answer at ${url}` : undefined;
    const why = running.exited === undefined ? late : `ended with ${running.exited}`;
    if (why) throw new Error(`a server ${why}; its output:\n${readFileSync(log, 'utf8').slice(-3000)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** A port of the loopback address that was free a moment ago. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/**
 * Watches processes with all their descendants until `stop()`, which returns `{cpuSeconds, peakRssBytes, peakPssBytes,
 * peakProcessRssBytes}`. RSS counts a page once for each process that shares it, PSS once in all; the last one is of the
 * largest single process.
 */
export function watch(pids) {
  const before = cpuByProcess(pids);
  let peakRssBytes = 0;
  let peakPssBytes = 0;
  let peakProcessRssBytes = 0;
  const sample = () => {
    const tree = family(pids);
    peakProcessRssBytes = Math.max(peakProcessRssBytes, ...tree.map(({ rss }) => rss * PAGE));
    peakRssBytes = Math.max(
      peakRssBytes,
      total(tree, ({ rss }) => rss * PAGE),
    );
    peakPssBytes = Math.max(
      peakPssBytes,
      total(tree, (member) => pss(member.pid)),
    );
  };
  sample();
  const timer = setInterval(sample, SAMPLE_MS);
  return {
    stop() {
      clearInterval(timer);
      sample();
      return { cpuSeconds: cpuByProcess(pids) - before, peakRssBytes, peakPssBytes, peakProcessRssBytes };
    },
  };
}

/** CPU seconds of the children that this process has waited for: the load generators. */
export function finishedChildrenSeconds() {
  return stat('self').waitedFor;
}

function cpuByProcess(pids) {
  return total(family(pids), ({ own, waitedFor }) => own + waitedFor);
}

function family(pids) {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => stat(name) ?? []);
  const members = all.filter((entry) => pids.includes(entry.pid));
  // Grows while it is walked: children of children come after their parents.
  for (const { pid: parent } of members) members.push(...all.filter((entry) => entry.parent === parent));
  return members;
}

/** Undefined when the process has ended. */
function stat(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold spaces.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const [user, system, childUser, childSystem] = fields.slice(11, 15).map(Number);
    return {
      pid: Number.parseInt(text, 10),
      parent: Number(fields[1]),
      own: (user + system) / TICKS,
      waitedFor: (childUser + childSystem) / TICKS,
      rss: Number(fields[21]),
    };
  } catch {
    return undefined;
  }
}

function pss(pid) {
  try {
    return 1024 * Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

function total(list, value) {
  return list.reduce((sum, item) => sum + value(item), 0);
}
