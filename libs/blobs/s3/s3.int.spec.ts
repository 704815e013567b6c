import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Client } from 'minio';
import type { Digest } from '#oci';
import { type S3Service, startS3 } from '../../../test/support/services/index.js';
import { createS3BlobStore, createS3Notes } from '../adapters.js';
import { blobStoreContract } from '../blobs.contract.js';
import { ingestContract } from '../ingest.contract.js';
import { notesContract } from '../notes.contract.js';
import type { BlobStore } from '../port.js';
import type { BlobStoreHarness } from '../samples.contract.js';

let s3: S3Service;
let tests = 0;

async function start(): Promise<BlobStoreHarness> {
  const spoolPath = await mkdtemp(path.join(tmpdir(), 'blobs-s3-'));
  const { endpoint, region, accessKey, secretKey } = s3;
  const bucket = 'blobs';
  const prefix = `test/${tests++}`;
  const options = { endpoint, region, bucket, prefix, accessKey, secretKey, pathStyle: true, spoolPath };
  const stores: BlobStore[] = [];
  const open = () => {
    const store = createS3BlobStore(options);
    stores.push(store);
    return store;
  };
  const { hostname, port } = new URL(endpoint);
  const client = new Client({ endPoint: hostname, port: Number(port), useSSL: false, accessKey, secretKey });
  return {
    store: open(),
    another: open,
    unfinished: async (digest: Digest) => {
      const names = await readdir(spoolPath).catch(() => []);
      const hex = digest.slice(digest.indexOf(':') + 1);
      const key = `${prefix}/blobs/${digest.startsWith('sha256') ? 'sha256' : 'sha512'}/${hex.slice(0, 2)}/${hex}`;
      const listed = async (by: string) => {
        const { uploads } = await client.listIncompleteUploadsQuery(bucket, by, '', '', '');
        return uploads.filter((upload) => upload.key === key).length;
      };
      // MinIO keeps the two listings apart: an upload is on disk before all of the bucket's, which a sweep reads, have it.
      let uploads = await listed(key);
      while (uploads !== (await listed(''))) uploads = await listed(key);
      return names.filter((name) => name.startsWith(digest.replace(':', '-'))).length + uploads;
    },
    leftovers: 2,
    expression: `adapters.createS3BlobStore(${JSON.stringify(options)})`,
    close: async () => {
      for (const store of stores) await store.close();
      await rm(spoolPath, { recursive: true, force: true });
    },
  };
}

beforeAll(async () => {
  s3 = await startS3();
}, 300_000);
afterAll(() => s3?.stop());

describe('S3: ingest', () => ingestContract(start));
describe('S3: store', () => blobStoreContract(start));
describe('S3: notes', () =>
  notesContract(async () => {
    const { endpoint, region, accessKey, secretKey } = s3;
    return createS3Notes({ endpoint, region, bucket: 'notes', prefix: 'a/b', accessKey, secretKey, pathStyle: true });
  }));
