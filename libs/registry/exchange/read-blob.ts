import { Deferred } from '#async';
import type { BlobStore } from '#blobs';
import type { Digest } from '#oci';

/** A stored blob as an iterable: one chunk in memory at a time. Rejects as `BlobStore.read` does. */
export async function* readBlob(
  blobs: BlobStore,
  digest: Digest,
  size: number,
  signal?: AbortSignal,
): AsyncGenerator<Buffer> {
  const left = new AbortController();
  let offered = new Deferred<Buffer | undefined>();
  let taken = new Deferred();
  const sink = {
    write: (chunk: Buffer) => {
      taken = new Deferred();
      offered.resolve(chunk);
      return taken.promise;
    },
  };
  const until = signal ? AbortSignal.any([signal, left.signal]) : left.signal;
  blobs.read(digest, { offset: 0, length: size }, sink, until).then(
    () => offered.resolve(undefined),
    (error: unknown) => offered.reject(error),
  );
  try {
    for (;;) {
      const chunk = await offered.promise;
      if (!chunk) return;
      offered = new Deferred();
      // Read buffers are reused, and a stream may keep what it is given.
      yield Buffer.from(chunk);
      taken.resolve();
    }
  } finally {
    left.abort(new Error('the reader left'));
    taken.resolve();
  }
}
