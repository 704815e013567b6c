import http from 'node:http';
import https from 'node:https';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** Below the ports that the kernel gives to outgoing connections: one of those may have the port of a server that restarts. */
const PORTS = { from: 12_000, to: 32_000 };
const WORKERS = 16;
const given = new Set<number>();

/** A port that was free on 127.0.0.1 a moment ago, and that this function gives nobody else, in no other worker of jest either. */
export async function freePort(): Promise<number> {
  const worker = Number(process.env.JEST_WORKER_ID ?? 0) % WORKERS;
  for (;;) {
    const place = PORTS.from + Math.floor(Math.random() * (PORTS.to - PORTS.from));
    const port = place - (place % WORKERS) + worker;
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/** The status of one GET on a connection of its own, so that no pooled socket outlives the test. */
export function httpStatus(url: string, ca?: string): Promise<number> {
  const get = url.startsWith('https:') ? https.get : http.get;
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: false, timeout: 2_000, ca }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    request.on('timeout', () => request.destroy(new Error(`no answer from ${url} within 2 s`)));
    request.on('error', reject);
  });
}

/** Repeats `probe` until it resolves; gives up when `signal` aborts, with the probe's last failure as the cause. */
export async function untilReady(probe: () => Promise<void>, signal: AbortSignal): Promise<void> {
  for (;;) {
    try {
      await probe();
      return;
    } catch (error) {
      if (signal.aborted) throw new Error('not ready in time', { cause: error });
    }
    await sleep(50);
  }
}
