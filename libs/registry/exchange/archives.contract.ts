import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pack } from 'tar-stream';
import { openScratch, readTar } from '#archive';
import type { BlobStore } from '#blobs';
import { createFsBlobStore } from '#blobs/adapters';
import { InProcessBus } from '#bus/adapters';
import type { Catalog } from '#catalog';
import { connectCatalog, migrate } from '#catalog/adapters';
import { type Digest, parseReference } from '#oci';
import { type PostgresService, startPostgres } from '../../../test/support/services/index.js';
import { type MadeImage, makeImage } from '../../../test/support/upstream/images.js';
import { bytesOf } from '../../../test/support/upstream/index.js';
import { importArchive } from '../index.js';

export type Member = readonly [
  name: string,
  bytes: Buffer | string | { readonly link: string; readonly hard?: boolean },
];

export const sha = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest('hex');
export const blobPath = (digest: string) => `blobs/${digest.replace(':', '/')}`;
export const quiet = { debug() {}, info() {}, warn() {}, error() {} };

export function tarOf(members: readonly Member[]): Promise<Buffer> {
  const archive = pack();
  for (const [name, value] of members) {
    if (typeof value === 'object' && 'link' in value)
      archive.entry({ name, type: value.hard ? 'link' : 'symlink', linkname: value.link });
    else archive.entry({ name }, value);
  }
  archive.finalize();
  return collect(archive);
}

export async function collect(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function blobsOf(image: MadeImage): Member[] {
  return [...image.layers, image.config].map((blob) => [blobPath(blob.digest), bytesOf(blob)]);
}

/** An OCI layout with the given names of one root. */
export function layout(
  root: { mediaType: string; digest: string; bytes: Buffer; size: number },
  images: readonly MadeImage[],
  annotations: readonly Record<string, string>[],
): Member[] {
  const entry = { mediaType: root.mediaType, digest: root.digest, size: root.size };
  const manifests = annotations.map((one) => ({ ...entry, annotations: one }));
  const members: Member[] = [
    ['oci-layout', '{"imageLayoutVersion":"1.0.0"}'],
    ...images.flatMap(blobsOf),
    ...images.map(({ digest, bytes }): Member => [blobPath(digest), bytes]),
    [blobPath(root.digest), root.bytes],
    ['index.json', JSON.stringify({ schemaVersion: 2, manifests })],
  ];
  return [...new Map(members.map((member) => [member[0], member])).values()];
}

let seed = 1;
/** An image that no other test has. */
export const fresh = (layers: number[] = [5000]) => makeImage({ layers, seed: 10_000 + seed++ });

/** A catalog and a store that archives are loaded into. */
export class Site {
  private constructor(
    private readonly postgres: PostgresService,
    readonly catalog: Catalog,
    readonly blobs: BlobStore,
    readonly directory: string,
  ) {}

  static async start(): Promise<Site> {
    const directory = mkdtempSync(join(tmpdir(), 'exchange-'));
    const postgres = await startPostgres({ version: 18 });
    await migrate({ url: postgres.url });
    const catalog = await connectCatalog({ url: postgres.url });
    return new Site(postgres, catalog, createFsBlobStore({ path: join(directory, 'blobs') }), directory);
  }

  async stop(): Promise<void> {
    await this.catalog.close();
    await this.blobs.close();
    await this.postgres.stop();
    rmSync(this.directory, { recursive: true });
  }

  private readonly bus = new InProcessBus();

  readonly load = (archive: Buffer | Readable, request = {}) =>
    importArchive(readTar(Buffer.isBuffer(archive) ? Readable.from([archive]) : archive), request, {
      catalog: this.catalog,
      blobs: this.blobs,
      bus: this.bus,
      log: quiet,
      scratch: () => openScratch(join(this.directory, 'spool')),
    });

  async listBlobs(): Promise<string[]> {
    const found: string[] = [];
    for await (const { digest } of this.blobs.list()) found.push(digest);
    return found.sort();
  }

  async held(name: string, image: MadeImage): Promise<boolean[]> {
    const { repository } = parseReference(name);
    const all = [image.config, ...image.layers].map(async ({ digest }) => {
      const found = await this.catalog.findBlob(repository, digest as Digest);
      return found !== undefined && (await this.blobs.stat(digest as Digest))?.size === found.size;
    });
    return Promise.all(all);
  }

  async tagOf(name: string): Promise<Digest | undefined> {
    const { repository, tag } = parseReference(name);
    return (await this.catalog.findTag(repository, tag!))?.digest;
  }
}
