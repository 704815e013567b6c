import { Failure, type Target } from '#oci';
import { Transfer } from '../transfers/transfer.js';
import type { Pull, WorkerOptions, WorkerPorts } from './pull-worker.js';

type BlobTarget = Extract<Target, { kind: 'blob' }>;

/** Makes a blob present in a repository: by its upstream's yes where the bytes are held already, else by a transfer. */
export async function pullBlob(
  pull: Pull,
  target: BlobTarget,
  ports: WorkerPorts,
  options: WorkerOptions,
): Promise<void> {
  const { catalog, blobs, upstream, transfers } = ports;
  const { repository, digest } = target;
  if (pull.again && (await catalog.findBlob(repository, digest))) return;

  const size = target.size ?? (await catalog.findDescriptorSize(repository, digest));
  // An earlier attempt may have died between "bytes stored" and "row committed". Bytes of another length were damaged.
  const held = (await catalog.hasBlob(digest)) ?? (pull.again ? await blobs.stat(digest) : undefined);
  if (held && (size === undefined || held.size === size)) {
    await upstream.headBlob(repository, digest, pull.call);
    return catalog.storeBlob(repository, digest, held.size);
  }
  if (pull.again) await blobs.abandon(digest);

  let unread: NodeJS.Timeout | undefined;
  const transfer: Transfer = new Transfer(
    repository,
    digest,
    blobs,
    (span, call) => upstream.getBlob(repository, digest, span, { ...pull.call, ...call }),
    options.download,
    {
      onEvent: (event) => pull.log.debug({ key: pull.event.key, requestId: pull.event.requestId, event }, 'transfer'),
      onIdle: (idle) => {
        clearTimeout(unread);
        if (!idle || pull.event.lane !== 'interactive') return;
        unread = setTimeout(
          () => transfer.cancel(new Failure('UNAVAILABLE', 'nobody waits for this blob any more')),
          options.unreadFor,
        );
        unread.unref();
      },
    },
    size,
  );
  const stop = () => transfer.cancel(Failure.of(pull.signal.reason));
  pull.signal.addEventListener('abort', stop, { once: true });
  try {
    const run = transfers.track(transfer, transfer.run());
    transfer.open.then(
      (known) => {
        pull.log.debug({ key: pull.event.key, digest, transfer: transfer.id, size: known }, 'transfer started');
        return pull.announce({ url: options.relayUrl, transfer: transfer.id, token: transfer.token }, known);
      },
      () => {},
    );
    await catalog.storeBlob(repository, digest, await run);
  } finally {
    clearTimeout(unread);
    pull.signal.removeEventListener('abort', stop);
  }
}
