import { open } from 'node:fs/promises';
import { pipeline, Readable, Transform } from 'node:stream';
import zlib from 'node:zlib';
import { type Extract, extract } from 'tar-stream';
import { Failure } from '#oci';
import { type ArchiveEntry, badArchive } from '#registry';
import { slicesOf } from './slices.js';
import { unzstd } from './unzstd.js';

interface ReadLimits {
  /** Bytes out for each byte in, from which compressed input is no archive but an attack; looked at after `ratioFrom`. */
  readonly maxRatio: number;
  /** Bytes out. */
  readonly ratioFrom: number;
  readonly maxEntries: number;
  /** Never Node's own zstd; for tests. */
  readonly portableZstd?: boolean;
}

/** gzip gets at most 1,030 out of one byte; images, even of zeros here and there, do not come near 200. */
const LIMITS: ReadLimits = { maxRatio: 200, ratioFrom: 64 * 2 ** 20, maxEntries: 200_000 };
const TAR_BLOCK = 512;

type Compression = 'gzip' | 'zstd' | undefined;

/**
 * The members of a tar, plain or compressed with gzip or zstd, whatever its name says. Rejects with a Failure that says
 * what is wrong with it; the rest of `source` is read and thrown away then.
 */
export function readTar(source: Readable, limits: ReadLimits = LIMITS): AsyncIterable<ArchiveEntry> {
  // The sender may leave before anybody reads; the iteration tells it then.
  source.on('error', () => {});
  // Destroying a request would take the answer's connection with it.
  const chunks = source.iterator({ destroyOnReturn: false }) as AsyncIterableIterator<Buffer>;
  // A sender that is stopped early must be able to read why.
  return membersOf(chunks, limits, () => source.resume());
}

/** The same of a file, which is read in large slices into few buffers: a chunk is good until the next is asked for. */
export async function* readTarFile(path: string): AsyncGenerator<ArchiveEntry> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(TAR_BLOCK), 0, TAR_BLOCK, 0);
    // What takes the compression off keeps more slices than it tells.
    const reused = compressionOf(buffer.subarray(0, bytesRead)) === undefined;
    yield* membersOf(slicesOf(file, reused), LIMITS, () => {});
  } finally {
    await file.close();
  }
}

async function* membersOf(
  source: AsyncIterableIterator<Buffer>,
  limits: ReadLimits,
  ended: () => void,
): AsyncGenerator<ArchiveEntry> {
  const members = extract();
  const bytes = await unpacked(source, limits);
  const fed = feed(bytes, members);
  // An entry that is being read only says that it was destroyed.
  let reason: unknown;
  members.on('error', (error) => {
    reason ??= error;
  });
  fed.catch((error: Error) => members.destroy(error));
  const explain = (error: unknown) => explained(error instanceof Failure ? error : (reason ?? error));
  let count = 0;
  try {
    for await (const entry of members) {
      if (++count > limits.maxEntries) throw badArchive(`the archive has more than ${limits.maxEntries} members`);
      const { name, type, linkname, size = 0 } = entry.header;
      const link = type === 'symlink' || type === 'link' ? (linkname ?? '') : undefined;
      if (link !== undefined || type === 'file' || type === 'contiguous-file') {
        const stands = link === undefined ? {} : { link, symbolic: type === 'symlink' };
        yield { path: name, size, body: checked(entry as unknown as AsyncIterable<Buffer>, explain), ...stands };
      } else if (type !== 'directory')
        throw badArchive(`the archive has a member that is neither file nor link: ${name.slice(0, 200)} (${type})`);
      entry.resume();
    }
    await fed;
    if (count === 0) throw badArchive('the archive is empty');
  } catch (error) {
    throw explain(error);
  } finally {
    ended();
  }
}

/** Errors of the archive that come while a body is read are explained, too. */
async function* checked(body: AsyncIterable<Buffer>, explain: (error: unknown) => unknown): AsyncGenerator<Buffer> {
  try {
    yield* body;
  } catch (error) {
    throw explain(error);
  }
}

async function feed(bytes: AsyncIterable<Buffer>, members: Extract): Promise<void> {
  for await (const chunk of bytes) {
    if (members.destroyed) return;
    if (!members.write(chunk)) await drained(members);
  }
  // The types are of Node's streams, the streams are others.
  (members as unknown as { end(): void }).end();
}

function drained(members: Extract): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      members.off('drain', done);
      members.off('close', done);
      resolve();
    };
    members.on('drain', done);
    members.on('close', done);
  });
}

/** Looks at the first bytes, and takes the compression off. */
async function unpacked(chunks: AsyncIterableIterator<Buffer>, limits: ReadLimits): Promise<AsyncIterable<Buffer>> {
  let head = Buffer.alloc(0);
  try {
    while (head.length < TAR_BLOCK) {
      const { value, done } = await chunks.next();
      if (done) break;
      head = Buffer.concat([head, value]);
    }
  } catch (error) {
    throw explained(error);
  }
  const whole = (async function* () {
    yield head;
    yield* chunks;
  })();
  const compression = compressionOf(head);
  if (!compression) return whole;
  const packed = Readable.from(whole);
  // Since Node.js 22.15 and 23.8; the types of 20 do not know it.
  const create = (zlib as { createZstdDecompress?: () => Transform }).createZstdDecompress;
  if (compression === 'zstd' && (!create || limits.portableZstd)) {
    const counter = { bytesWritten: 0 };
    return pipeline(
      packed,
      (source) => unzstd(source, counter),
      ratioGauge(counter, limits),
      () => {},
    );
  }
  const decompressor = compression === 'gzip' ? zlib.createGunzip() : create!();
  const gauge = ratioGauge(decompressor as unknown as { bytesWritten: number }, limits);
  return pipeline(packed, decompressor, gauge, () => {});
}

function compressionOf(first: Buffer): Compression {
  if (first[0] === 0x1f && first[1] === 0x8b) return 'gzip';
  if (first.length >= 4 && first.readUInt32LE(0) === 0xfd2fb528) return 'zstd';
  if (first.length < TAR_BLOCK || first.toString('latin1', 257, 262) !== 'ustar')
    throw badArchive('this is no tar archive, and none that is compressed with gzip or zstd');
  return undefined;
}

function ratioGauge(decompressor: { bytesWritten: number }, { maxRatio, ratioFrom }: ReadLimits): Transform {
  let out = 0;
  return new Transform({
    transform(chunk: Buffer, _, done) {
      out += chunk.length;
      const bomb = out > ratioFrom && out > maxRatio * decompressor.bytesWritten;
      done(
        bomb ? badArchive(`the archive unpacks to more than ${maxRatio} times its size`) : null,
        bomb ? null : chunk,
      );
    },
  });
}

/** zlib and tar-stream speak to programmers. */
function explained(error: unknown): unknown {
  if (error instanceof Failure) return error;
  const { code, message = '' } = error as NodeJS.ErrnoException;
  if (code === 'Z_BUF_ERROR' || /Unexpected end|unexpected end|premature|aborted|sender left/i.test(message))
    return badArchive('the archive is cut off', error);
  if (code?.startsWith('Z_') || code?.startsWith('ZSTD_'))
    return badArchive('the compressed archive is damaged', error);
  if (/Invalid tar header|Invalid header|max size|checksum/i.test(message))
    return badArchive('the archive is damaged: it has an invalid tar header', error);
  return error;
}
