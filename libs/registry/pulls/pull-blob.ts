import { type Digest, Failure, type Target } from '#oci';
import { Transfer } from '../transfers/transfer.js';
import type { Pull } from './running-pull.js';
import type { WorkerOptions, WorkerPorts } from './worker-ports.js';

type BlobTarget = Extract<Target, { kind: 'blob' }>;

/** Up to this size in bytes nobody gets a byte before all are verified: there is nothing to attach to early. */
const TOLD_LATE = 2 ** 20;
const TOLD_LATE_MS = 250;

/**
 * Makes a blob present in a repository: by its upstream's yes where the bytes are held already, else by a transfer.
 * Resolves with its size in bytes.
 */
export async function pullBlob(
  pull: Pull,
  target: BlobTarget,
  ports: WorkerPorts,
  options: WorkerOptions,
): Promise<number> {
  const { catalog, content, upstream } = ports;
  const { repository, digest } = target;
  const known = pull.again ? await catalog.knowBlob(repository, digest) : pull.known;
  const size = target.size ?? known.held ?? known.described;
  if (pull.event.refetch) return fetch(pull, target, size, ports, options);
  if (known.held !== undefined) return known.held;

  // An earlier attempt may have died between "bytes stored" and "row committed". Bytes of another length were damaged.
  const stored = known.stored ?? (pull.again ? await sizeInStore(pull, digest, ports) : undefined);
  if (stored !== undefined && (size === undefined || stored === size)) {
    await content.blob(repository, digest, stored);
    await upstream.headBlob(repository, digest, pull.call);
    ports.facts?.addBlob(repository, digest, stored);
    pull.present(stored);
    await catalog.storeBlob(repository, digest, stored);
    return stored;
  }
  return fetch(pull, target, size, ports, options);
}

async function fetch(
  pull: Pull,
  target: BlobTarget,
  size: number | undefined,
  ports: WorkerPorts,
  options: WorkerOptions,
): Promise<number> {
  const abandoned = !pull.again || (await abandon(pull, target.digest, ports));
  const received = await transfer(pull, target, size, ports, options);
  const { repository, digest } = target;
  ports.facts?.addBlob(repository, digest, received);
  pull.present(received);
  // The store has just taken the blob, so it is back.
  if (!abandoned) await abandon(pull, digest, ports);
  await ports.catalog.storeBlob(repository, digest, received);
  return received;
}

/** A store that is away does not keep clients from their bytes: until it is asked to commit it may be back. */
async function sizeInStore(pull: Pull, digest: Digest, { blobs }: WorkerPorts): Promise<number | undefined> {
  try {
    return (await blobs.stat(digest))?.size;
  } catch (error) {
    pull.log.info({ error: String(error) }, 'cannot look whether a blob is stored, fetching it');
    return undefined;
  }
}

/** Drops what a dead worker has left of the blob. False when the store cannot be asked: a sweep finds it later. */
async function abandon(pull: Pull, digest: Digest, { blobs }: WorkerPorts): Promise<boolean> {
  try {
    await blobs.abandon(digest);
    return true;
  } catch (error) {
    pull.log.info({ error: String(error) }, 'cannot remove what was left of a blob');
    return false;
  }
}

/** Resolves with the size in bytes when the store has the blob. */
async function transfer(
  pull: Pull,
  { repository, digest }: BlobTarget,
  size: number | undefined,
  { blobs, content, upstream, transfers, events, facts }: WorkerPorts,
  options: WorkerOptions,
): Promise<number> {
  let unread: NodeJS.Timeout | undefined;
  let announcing: NodeJS.Timeout | undefined;
  let announce = () => {};
  const transfer: Transfer = new Transfer(
    repository,
    digest,
    blobs,
    async (span, call) => {
      const body = await upstream.getBlob(repository, digest, span, { ...pull.call, ...call });
      try {
        await content.blob(repository, digest, size ?? body.size);
        return body;
      } catch (error) {
        body.abort();
        throw error;
      }
    },
    options.download(repository.upstream),
    {
      onEvent: (event) => {
        events?.transferEvent(event);
        pull.log.debug({ event }, 'transfer');
      },
      onFirstByte: () => clearTimeout(silent),
      onFull: (failure) => {
        pull.log.warn(
          { digest, error: String(failure.cause) },
          'no room for a blob: it is served while it is here, and not kept',
        );
        clearTimeout(announcing);
        announce();
      },
      ...(facts ? { onSmall: (bytes) => facts.addBlobBytes(digest, bytes) } : {}),
      onIdle: (idle) => {
        clearTimeout(unread);
        if (!idle || !pull.interactive) return;
        unread = setTimeout(
          () => transfer.cancel(new Failure('UNAVAILABLE', 'nobody waits for this blob any more')),
          options.unreadFor,
        );
        unread.unref();
      },
    },
    size,
  );
  const silent = setTimeout(
    () =>
      transfer.cancel(
        transfer.waitsForRoom
          ? new Failure('UNAVAILABLE', 'the spool is full', { origin: 'store', retryable: true, retryAfter: 5 })
          : new Failure('UPSTREAM_TIMEOUT', 'the upstream registry sent no byte', {
              origin: 'upstream',
              retryable: true,
            }),
      ),
    options.firstByteWithin,
  );
  silent.unref();
  const stop = () => transfer.cancel(Failure.of(pull.signal.reason));
  pull.signal.addEventListener('abort', stop, { once: true });
  try {
    pull.follow(() => transfer.progress.received);
    const run = transfers.track(transfer, transfer.run());
    transfer.open.then(
      (told) => {
        pull.log.debug({ digest, transfer: transfer.id, size: told }, 'transfer started');
        announce = () => pull.announce({ url: options.relayUrl, transfer: transfer.id, token: transfer.token }, told);
        if (told === undefined || told > TOLD_LATE) announce();
        else announcing = setTimeout(announce, TOLD_LATE_MS);
      },
      () => {},
    );
    return await run;
  } finally {
    clearTimeout(unread);
    clearTimeout(silent);
    clearTimeout(announcing);
    pull.signal.removeEventListener('abort', stop);
    events?.transferEnded(transfer.readers.seen);
  }
}
