import { type BlobSource, bytesOf, type MadeIndex, type MadeManifest } from '../support/upstream/index.js';

/** Pushes an index, its images and their blobs as OCI Distribution 1.1 says; `registry` is `http://host:port`. */
export async function pushIndex(registry: string, repository: string, tag: string, index: MadeIndex): Promise<void> {
  const base = `${registry}/v2/${repository}`;
  for (const image of index.images) {
    for (const blob of [image.config, ...image.layers]) await pushBlob(base, blob);
    await pushManifest(base, image.digest, image);
  }
  await pushManifest(base, tag, index);
}

async function pushBlob(base: string, blob: BlobSource): Promise<void> {
  const session = await created(`${base}/blobs/uploads/`, { method: 'POST' }, 202);
  const location = new URL(session.headers.get('location') ?? '', base);
  location.searchParams.set('digest', blob.digest);
  const headers = { 'content-type': 'application/octet-stream' };
  await created(location, { method: 'PUT', headers, body: new Uint8Array(bytesOf(blob)) }, 201);
}

async function pushManifest(base: string, reference: string, { mediaType, bytes }: MadeManifest): Promise<void> {
  const headers = { 'content-type': mediaType };
  await created(`${base}/manifests/${reference}`, { method: 'PUT', headers, body: new Uint8Array(bytes) }, 201);
}

async function created(url: string | URL, init: RequestInit, status: number): Promise<Response> {
  const answer = await fetch(url, init);
  const text = await answer.text();
  if (answer.status !== status) throw new Error(`${init.method} ${url} answered ${answer.status}: ${text}`);
  return answer;
}
