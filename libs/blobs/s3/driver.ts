import type { Client } from 'minio';
import { backoff, sleep } from '#async';
import type { Digest } from '#oci';
import { type BlobDriver, blobKey, keyDigest, type Upload } from '../driver.js';
import { blobGone, storeFailure } from '../failures.js';
import type { Sink, Span, StoredBlob } from '../port.js';
import type { SpoolFile } from '../spool.js';
import { ASK, type Bounds, RESUME, S3Connection, type S3ConnectionOptions } from './connection.js';
import { answeredError, isCodeOf, isMissing } from './errors.js';
import { BodyBroke, type ObjectBody } from './object-reader.js';
import { S3Upload, UploadSlots } from './upload.js';

export interface S3DriverOptions extends S3ConnectionOptions {
  /** Before every key, with or without a slash at its end; empty for none. */
  readonly prefix: string;
}

/** A body that brings nothing for so long is broken; the time that the sink takes does not count. */
const BODY_IDLE = 20_000;
/** Seconds within which the store must see a request that we sign. */
const SIGNED_FOR = 900;
/** How often in a row a body may break without a single byte. */
const BREAKS = 3;

/** Blobs as objects, `<prefix>/blobs/<algorithm>/<2 hex>/<hex>`. */
export class S3Driver implements BlobDriver {
  readonly drains = true;
  private readonly connection: S3Connection;
  private readonly slots = new UploadSlots();
  private readonly prefix: string;
  private readonly bucket: string;

  constructor(options: S3DriverOptions) {
    this.connection = new S3Connection(options);
    this.bucket = options.bucket;
    const prefix = options.prefix.replace(/^\/+|\/+$/g, '');
    this.prefix = prefix === '' ? '' : `${prefix}/`;
  }

  async stat(digest: Digest): Promise<{ size: number } | undefined> {
    try {
      const { size } = await this.connection.call((client) => client.statObject(this.bucket, this.key(digest)));
      return { size };
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  async read(digest: Digest, span: Span, sink: Sink, signal?: AbortSignal): Promise<void> {
    if (span.length === 0) {
      if (!(await this.stat(digest).catch((error) => Promise.reject(storeFailure(error))))) throw blobGone();
      return;
    }
    const end = span.offset + span.length;
    for (let offset = span.offset, breaks = 0; ; ) {
      const bounds = { ...(offset === span.offset ? ASK : RESUME), signal };
      const body = await this.get(digest, offset, end, bounds);
      const before = offset;
      const counting: Sink = {
        write(chunk) {
          const { length } = chunk;
          const written = sink.write(chunk);
          if (written) {
            return written.then(() => {
              offset += length;
            });
          }
          offset += length;
        },
      };
      try {
        await body.pump(counting, BODY_IDLE, signal);
        if (offset === end) return;
      } catch (error) {
        if (!(error instanceof BodyBroke)) throw error;
      }
      breaks = offset > before ? 0 : breaks + 1;
      if (breaks > BREAKS) throw storeFailure(new Error(`S3 broke off at ${offset} again and again`));
      await sleep(backoff(breaks, 50, 1_000), signal);
    }
  }

  async link(digest: Digest, seconds: number): Promise<string | undefined> {
    // Whoever follows a link to a lost object gets an error of the store's, and nobody fetches the blob anew.
    if (!(await this.stat(digest))) return undefined;
    const type = { 'response-content-type': 'application/octet-stream' };
    return this.connection.call((client) => client.presignedGetObject(this.bucket, this.key(digest), seconds, type));
  }

  async remove(digest: Digest): Promise<void> {
    await this.connection.call((client) => client.removeObject(this.bucket, this.key(digest)));
  }

  async *list(): AsyncIterable<StoredBlob> {
    let token = '';
    do {
      const page = await this.connection.call((client) =>
        client.listObjectsV2Query(this.bucket, `${this.prefix}blobs/`, token, '', 1000, ''),
      );
      for (const object of page.objects) {
        const digest = keyDigest((object.name ?? '').slice(this.prefix.length));
        if (digest) yield { digest, size: object.size, storedAt: new Date(object.lastModified ?? Date.now()) };
      }
      token = page.isTruncated ? page.nextContinuationToken : '';
    } while (token !== '');
  }

  upload(digest: Digest, spool: SpoolFile, size?: number): Upload {
    return new S3Upload(this.connection, this.slots, this.key(digest), spool, size);
  }

  async sweep(olderThanMs: number): Promise<number> {
    const before = Date.now() - olderThanMs;
    // All of the bucket's: MinIO lists by whole keys only, and by nothing at all.
    return this.abortUploads('', (upload) => {
      const ours = upload.key.startsWith(this.prefix) && keyDigest(upload.key.slice(this.prefix.length)) !== undefined;
      return ours && upload.initiated.getTime() <= before;
    });
  }

  async abandon(digest: Digest): Promise<void> {
    const key = this.key(digest);
    await this.abortUploads(key, (upload) => upload.key === key);
  }

  ping(): Promise<void> {
    return this.connection.ping();
  }

  async close(): Promise<void> {
    this.connection.close();
  }

  private key(digest: Digest): string {
    return this.prefix + blobKey(digest);
  }

  /** Waits for the headers; the answer covers `offset` to `end`. */
  private async get(digest: Digest, offset: number, end: number, bounds: Bounds): Promise<ObjectBody> {
    try {
      const body = await this.connection.call(
        (client, signal) => this.ask(client, digest, offset, end, signal),
        bounds,
      );
      const total = Number(/\/(\d+)$/.exec(body.headers.get('content-range') ?? '')?.[1]);
      if (body.status === 206 && total >= end) return body;
      body.drop();
      if (total < end) throw blobGone(new Error(`the object has ${total} bytes, expected ${end}`));
      throw new Error('S3 did not answer with the range that was asked for');
    } catch (error) {
      bounds.signal?.throwIfAborted();
      throw isMissing(error) || isCodeOf(error, 'InvalidRange') ? blobGone(error) : storeFailure(error);
    }
  }

  private async ask(client: Client, digest: Digest, offset: number, end: number, signal: AbortSignal) {
    const url = new URL(await client.presignedGetObject(this.bucket, this.key(digest), SIGNED_FOR));
    const headers = [`Range: bytes=${offset}-${end - 1}`, 'Accept-Encoding: identity', 'User-Agent: ociregistry'];
    const body = await this.connection.objects.get(url, headers, signal);
    if (body.status < 300) return body;
    throw answeredError(body.status, await body.text());
  }

  private async abortUploads(
    prefix: string,
    chosen: (upload: { key: string; initiated: Date }) => boolean,
  ): Promise<number> {
    let aborted = 0;
    for (let key = '', id = '', more = true; more; ) {
      const page = await this.connection.call((client) =>
        client.listIncompleteUploadsQuery(this.bucket, prefix, key, id, ''),
      );
      // One of ours may be listed before its name has reached us: it must not be taken for a dead process's.
      await Promise.allSettled(this.slots.starting);
      for (const upload of page.uploads) {
        if (this.slots.owned.has(upload.uploadId) || !chosen(upload)) continue;
        await this.connection
          .call((client) => client.abortMultipartUpload(this.bucket, upload.key, upload.uploadId))
          .then(
            () => aborted++,
            (error) => {
              if (!isCodeOf(error, 'NoSuchUpload')) throw error;
            },
          );
      }
      more = page.isTruncated && (page.nextKeyMarker !== key || page.nextUploadIdMarker !== id);
      key = page.nextKeyMarker;
      id = page.nextUploadIdMarker;
    }
    return aborted;
  }
}
