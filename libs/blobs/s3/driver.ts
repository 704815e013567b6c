import type { IncomingMessage } from 'node:http';
import { backoff, sleep, unless } from '#async';
import type { Digest } from '#oci';
import { type BlobDriver, blobKey, keyDigest, type Upload } from '../driver.js';
import { blobGone, storeFailure } from '../failures.js';
import type { Sink, Span, StoredBlob } from '../port.js';
import type { SpoolFile } from '../spool.js';
import { ASK, type Bounds, RESUME, S3Connection, type S3ConnectionOptions } from './connection.js';
import { isCodeOf, isMissing } from './errors.js';
import { S3Upload, UploadSlots } from './upload.js';

export interface S3DriverOptions extends S3ConnectionOptions {
  /** Before every key, with or without a slash at its end; empty for none. */
  readonly prefix: string;
}

/** A body that brings nothing for so long is broken; the time that the sink takes does not count. */
const BODY_IDLE = 20_000;
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
      try {
        offset = await pump(body, offset, sink, signal);
        if (offset === end) return;
      } catch (error) {
        if (!(error instanceof BodyBroke)) throw error;
        offset = error.offset;
      }
      breaks = offset > before ? 0 : breaks + 1;
      if (breaks > BREAKS) throw storeFailure(new Error(`S3 broke off at ${offset} again and again`));
      await sleep(backoff(breaks, 50, 1_000), signal);
    }
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
  private async get(digest: Digest, offset: number, end: number, bounds: Bounds): Promise<IncomingMessage> {
    try {
      const key = this.key(digest);
      const body = await this.connection.call(
        (client) => client.getPartialObject(this.bucket, key, offset, end - offset),
        bounds,
      );
      const response = body as unknown as IncomingMessage;
      const total = Number(/\/(\d+)$/.exec(response.headers['content-range'] ?? '')?.[1]);
      if (response.statusCode === 206 && total >= end) return response;
      response.destroy();
      if (total < end) throw blobGone(new Error(`the object has ${total} bytes, expected ${end}`));
      throw new Error('S3 did not answer with the range that was asked for');
    } catch (error) {
      bounds.signal?.throwIfAborted();
      throw isMissing(error) || isCodeOf(error, 'InvalidRange') ? blobGone(error) : storeFailure(error);
    }
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

/** The connection failed, not the sink: every byte before `offset` was delivered. */
class BodyBroke extends Error {
  constructor(
    readonly offset: number,
    cause: unknown,
  ) {
    super('the body broke off', { cause });
  }
}

/** Feeds the body to the sink; returns the offset it ended at. */
async function pump(body: IncomingMessage, from: number, sink: Sink, signal?: AbortSignal): Promise<number> {
  let offset = from;
  let waiting = true;
  const timer = setTimeout(() => {
    if (waiting) body.destroy(new Error('the body fell silent'));
    else timer.refresh();
  }, BODY_IDLE);
  const onAbort = () => body.destroy(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  // The request's own time-out would strike a body that waits for its sink.
  body.setTimeout(0);
  const chunks = body[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  try {
    for (;;) {
      waiting = true;
      timer.refresh();
      const next = await chunks.next().catch((error) => {
        signal?.throwIfAborted();
        throw new BodyBroke(offset, error);
      });
      waiting = false;
      // Read to its very end, which frees the connection for the next request.
      if (next.done) break;
      signal?.throwIfAborted();
      const written = sink.write(next.value);
      if (written) await unless(signal, written);
      offset += next.value.length;
    }
    return offset;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
    if (!body.readableEnded) body.destroy();
  }
}
