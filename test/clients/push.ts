import { Agent, fetch, type Response } from 'undici';
import { type BlobSource, bytesOf, type MadeIndex, type MadeManifest } from '../support/upstream/index.js';

type Send = (
  url: string | URL,
  init: { method: string; headers?: Record<string, string>; body?: Uint8Array },
  status: number,
) => Promise<Response>;

/** How a registry is reached that is not simply open. */
export interface PushOptions {
  /** PEM of the authority of its certificate. */
  readonly ca?: string;
  /** The Authorization header. */
  readonly authorization?: string;
}

/** Pushes an index, its images and their blobs as OCI Distribution 1.1 says; `registry` is `http://host:port`. */
export async function pushIndex(
  registry: string,
  repository: string,
  tag: string,
  index: MadeIndex,
  { ca, authorization }: PushOptions = {},
): Promise<void> {
  const dispatcher = new Agent({ connect: { ca } });
  const send: Send = async (url, { headers, ...init }, status) => {
    const all = { ...headers, ...(authorization ? { authorization } : {}) };
    const answer = await fetch(url, { ...init, headers: all, dispatcher });
    const text = await answer.text();
    if (answer.status !== status) throw new Error(`${init.method} ${url} answered ${answer.status}: ${text}`);
    return answer;
  };
  const base = `${registry}/v2/${repository}`;
  for (const image of index.images) {
    for (const blob of [image.config, ...image.layers]) await pushBlob(send, base, blob);
    await pushManifest(send, base, image.digest, image);
  }
  await pushManifest(send, base, tag, index);
  await dispatcher.close();
}

async function pushBlob(send: Send, base: string, blob: BlobSource): Promise<void> {
  const session = await send(`${base}/blobs/uploads/`, { method: 'POST' }, 202);
  const location = new URL(session.headers.get('location') ?? '', base);
  location.searchParams.set('digest', blob.digest);
  const headers = { 'content-type': 'application/octet-stream' };
  await send(location, { method: 'PUT', headers, body: new Uint8Array(bytesOf(blob)) }, 201);
}

async function pushManifest(
  send: Send,
  base: string,
  reference: string,
  { mediaType, bytes }: MadeManifest,
): Promise<void> {
  const headers = { 'content-type': mediaType };
  await send(`${base}/manifests/${reference}`, { method: 'PUT', headers, body: new Uint8Array(bytes) }, 201);
}
