import http from 'node:http';
import https from 'node:https';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** A port that was free on 127.0.0.1 a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
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
