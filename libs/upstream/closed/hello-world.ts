import { buffer } from 'node:stream/consumers';
import { pack } from 'tar-stream';
import { type Digest, digestOf, OCI_INDEX, OCI_MANIFEST, type Repository } from '#oci';
import type { BlobBody, FetchedManifest } from '../port.js';
import { ClosedUpstream } from './closed-upstream.js';
import { type Machine, printingProgram } from './elf.js';

const HOST = 'docker.io';
const PATH = 'library/hello-world';
const TAG = 'latest';
const TEXT = `
Hello from ociregistry!
This image is built into the server: pulling it needs no upstream, and shows that your client reaches the registry.

`;

interface Content {
  readonly tag: FetchedManifest;
  readonly manifests: ReadonlyMap<Digest, FetchedManifest>;
  readonly blobs: ReadonlyMap<Digest, Buffer>;
}

/** One built-in image, `docker.io/library/hello-world:latest` for linux/amd64 and linux/arm64, and nothing else. */
export class HelloWorld extends ClosedUpstream {
  private content: Promise<Content> | undefined;

  constructor() {
    const reason = `not there: with helloWorld this server has only ${HOST}/${PATH}:${TAG}`;
    super(reason, (host) => host === HOST);
  }

  override async getManifest(repository: Repository, reference: string): Promise<FetchedManifest> {
    const content = await this.in(repository);
    const found = reference === TAG ? content?.tag : content?.manifests.get(reference as Digest);
    if (!found) throw this.absent('MANIFEST_UNKNOWN');
    return found;
  }

  override async headBlob(repository: Repository, digest: Digest): Promise<{ size: number; ranges: boolean }> {
    return { size: (await this.blob(repository, digest)).length, ranges: false };
  }

  override async getBlob(repository: Repository, digest: Digest): Promise<BlobBody> {
    const bytes = await this.blob(repository, digest);
    const body = (async function* () {
      yield bytes;
    })();
    return { offset: 0, size: bytes.length, ranges: false, body, abort: () => {} };
  }

  override async listTags(repository: Repository): Promise<string[]> {
    if (!(await this.in(repository))) throw this.absent('NAME_UNKNOWN');
    return [TAG];
  }

  private async blob(repository: Repository, digest: Digest): Promise<Buffer> {
    const bytes = (await this.in(repository))?.blobs.get(digest);
    if (!bytes) throw this.absent('BLOB_UNKNOWN');
    return bytes;
  }

  private async in({ upstream, path }: Repository): Promise<Content | undefined> {
    if (upstream !== HOST || path !== PATH) return undefined;
    this.content ??= make();
    return this.content;
  }
}

/** The same bytes each time, so that every start has the same digests. */
async function make(): Promise<Content> {
  const blobs = new Map<Digest, Buffer>();
  const manifests = new Map<Digest, FetchedManifest>();
  const add = (mediaType: string, bytes: Buffer) => {
    const digest = digestOf(bytes, 'sha256');
    return { mediaType, digest, size: bytes.length, bytes };
  };
  const addManifest = (mediaType: string, document: object) => {
    const made = add(mediaType, Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...document })));
    manifests.set(made.digest, made);
    return made;
  };
  const addBlob = (mediaType: string, bytes: Buffer) => {
    const { bytes: _, ...descriptor } = add(mediaType, bytes);
    blobs.set(descriptor.digest, bytes);
    return descriptor;
  };
  const images = [];
  for (const architecture of ['amd64', 'arm64'] satisfies Machine[]) {
    const archive = pack();
    archive.entry({ name: 'hello', mode: 0o755, mtime: new Date(0) }, printingProgram(architecture, TEXT));
    archive.finalize();
    const layer = addBlob('application/vnd.oci.image.layer.v1.tar', await buffer(archive));
    const rootfs = { type: 'layers', diff_ids: [layer.digest] };
    const settings = { architecture, os: 'linux', config: { Cmd: ['/hello'] }, rootfs };
    const config = addBlob('application/vnd.oci.image.config.v1+json', Buffer.from(JSON.stringify(settings)));
    const { mediaType, digest, size } = addManifest(OCI_MANIFEST, { config, layers: [layer] });
    images.push({ mediaType, digest, size, platform: { architecture, os: 'linux' } });
  }
  return { tag: addManifest(OCI_INDEX, { manifests: images }), manifests, blobs };
}
