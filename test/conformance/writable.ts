import { createHash, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { bytesSource, type Content } from '../support/upstream/index.js';

export interface Writable {
  readonly url: string;
  stop(): Promise<void>;
}

/**
 * One address that the suite can push to and pull from: what it pushes (distribution-spec "Push") goes into `content`, which
 * is an upstream's; everything that reads is passed on to `gateway`, byte for byte.
 */
export async function startWritable(gateway: string, content: Content): Promise<Writable> {
  const pushes = new Pushes(content);
  const server = createServer(async (req, res) => {
    const reads = (req.method === 'GET' || req.method === 'HEAD') && !req.url?.includes('/blobs/uploads/');
    if (reads) pass(gateway, req, res);
    else await pushes.handle(req, res).catch((error) => res.destroy(error));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

function pass(gateway: string, { method, url, rawHeaders }: IncomingMessage, res: ServerResponse): void {
  const { hostname, port } = new URL(gateway);
  const forward = request({ hostname, port, method, path: url, headers: rawHeaders, agent: false }, (answer) => {
    res.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
    answer.pipe(res);
  });
  forward.on('error', (error) => res.destroy(error)).end();
}

class Pushes {
  private readonly uploads = new Map<string, Buffer>();

  constructor(private readonly content: Content) {}

  async handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const url = new URL(req.url ?? '/', 'http://push');
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const [, repository = '', kind, item = ''] =
      /^\/v2\/(.+)\/(blobs\/uploads|manifests)\/([^/]*)$/.exec(url.pathname) ?? [];
    if (kind === 'manifests' && req.method === 'PUT') this.manifest(req, res, repository, item, body);
    else if (kind === 'blobs/uploads' && item === '') this.open(res, repository, url.searchParams, body);
    else if (kind === 'blobs/uploads' && this.uploads.has(item)) this.upload(req, res, repository, item, url, body);
    else answer(res, 404);
  }

  private open(res: ServerResponse, repository: string, query: URLSearchParams, body: Buffer): void {
    const [digest, mount, from] = ['digest', 'mount', 'from'].map((name) => query.get(name));
    if (digest) return void this.commit(res, repository, digest, body);
    const known = mount && from ? this.content.blob(from, mount) : undefined;
    if (known) {
      this.content.addBlob(repository, known);
      return void answer(res, 201, { location: `/v2/${repository}/blobs/${mount}` });
    }
    const id = randomUUID();
    this.uploads.set(id, Buffer.alloc(0));
    answer(res, 202, { location: `/v2/${repository}/blobs/uploads/${id}` });
  }

  private upload(
    req: IncomingMessage,
    res: ServerResponse,
    repository: string,
    id: string,
    url: URL,
    body: Buffer,
  ): void {
    const held = this.uploads.get(id) ?? Buffer.alloc(0);
    const start = /^(\d+)-/.exec(req.headers['content-range'] ?? '')?.[1];
    const state = (bytes: Buffer) => ({
      location: url.pathname,
      range: `0-${Math.max(bytes.length - 1, 0)}`,
    });
    if (req.method === 'GET') return void answer(res, 204, state(held));
    if (start !== undefined && Number(start) !== held.length) return void answer(res, 416, state(held));
    const bytes = Buffer.concat([held, body]);
    if (req.method === 'PATCH') {
      this.uploads.set(id, bytes);
      return void answer(res, 202, state(bytes));
    }
    this.uploads.delete(id);
    if (req.method === 'PUT') this.commit(res, repository, url.searchParams.get('digest') ?? '', bytes);
    else answer(res, 204);
  }

  private commit(res: ServerResponse, repository: string, digest: string, bytes: Buffer): void {
    if (digestAs(digest, bytes) !== digest) return void answer(res, 400);
    this.content.addBlob(repository, bytesSource(bytes, digest));
    answer(res, 201, { location: `/v2/${repository}/blobs/${digest}`, 'docker-content-digest': digest });
  }

  private manifest(req: IncomingMessage, res: ServerResponse, repository: string, item: string, bytes: Buffer): void {
    const byDigest = item.includes(':');
    const digest = digestAs(byDigest ? item : 'sha256:', bytes);
    if (byDigest && digest !== item) return void answer(res, 400);
    const mediaType = req.headers['content-type'] ?? '';
    this.content.addManifest(repository, { mediaType, digest, bytes }, byDigest ? undefined : item);
    const { subject } = JSON.parse(bytes.toString());
    answer(res, 201, {
      location: `/v2/${repository}/manifests/${item}`,
      'docker-content-digest': digest,
      ...(subject ? { 'oci-subject': subject.digest } : {}),
    });
  }
}

/** The digest of `bytes` by the algorithm that `like` names; '' for one that nobody knows. */
function digestAs(like: string, bytes: Buffer): string {
  const algorithm = /^(sha256|sha512):/.exec(like)?.[1];
  return algorithm ? `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}` : '';
}

function answer(res: ServerResponse, status: number, headers: Record<string, string> = {}): void {
  res.writeHead(status, { ...(status === 204 ? {} : { 'content-length': '0' }), ...headers }).end();
}
