import type { z } from 'zod';
import type * as models from '../../api/models.js';

export type Stats = z.output<typeof models.Stats>;
export type Pull = z.output<typeof models.Pull>;
export type PullEvents = z.output<typeof models.PullEvents>;
export type Image = z.output<typeof models.Image>;
export type ImageDetail = z.output<typeof models.ImageDetail>;
export type ImageNode = z.output<typeof models.ImageNode>;
export type Upstream = z.output<typeof models.Upstream>;
export type UpstreamState = z.output<typeof models.UpstreamState>;
export type Explanation = z.output<typeof models.Explanation>;

export interface Page<T> {
  readonly items: readonly T[];
  readonly next?: string | null;
}

/** Relative, so that it works below a proxy's path. */
const BASE = 'api/v1/';
const TOKEN = 'ociregistry.token';

/** Calls the admin API. Rejects with the problem's text; asks once for the token where one is needed. */
export async function call<T>(path: string, method = 'GET', body?: unknown): Promise<T> {
  const token = sessionStorage.getItem(TOKEN);
  const answer = await fetch(BASE + path, {
    method,
    headers: {
      ...(token ? { authorization: `Bearer ${token}` } : {}),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (answer.status === 401) {
    const given = window.prompt('This needs the admin token:');
    if (given) {
      sessionStorage.setItem(TOKEN, given);
      return call(path, method, body);
    }
  }
  const text = await answer.text();
  if (!answer.ok) throw new Error(problemOf(text) ?? `${answer.status} ${answer.statusText}`);
  return (text === '' ? undefined : JSON.parse(text)) as T;
}

/** Calls `listener` with every event until the returned function is called; the browser reconnects by itself. */
export function watchPulls(listener: (pulls: PullEvents) => void, connected: (is: boolean) => void): () => void {
  const source = new EventSource(`${BASE}pulls/events`);
  source.addEventListener('pulls', ({ data }: MessageEvent<string>) => listener(JSON.parse(data) as PullEvents));
  source.onopen = () => connected(true);
  source.onerror = () => connected(false);
  return () => source.close();
}

function problemOf(text: string): string | undefined {
  try {
    const { title, detail } = JSON.parse(text) as { title?: string; detail?: string };
    return detail ?? title;
  } catch {
    return undefined;
  }
}
