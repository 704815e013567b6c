import { type Digest, Failure } from '#oci';

/** One member of an archive. Nothing of it is ever written under its own name. */
export interface ArchiveEntry {
  /** As the archive has it. */
  readonly path: string;
  /** A link (symbolic or hard) stands for the bytes of another member. */
  readonly link?: string;
  /** Whether `link` is relative to the entry's own directory (symbolic) or to the root (hard). */
  readonly symbolic?: boolean;
  /** Bytes of the body. */
  readonly size: number;
  /** Must be read before the next entry is asked for; what is not read is skipped. */
  readonly body: AsyncIterable<Buffer>;
}

/** Members in the order of the archive. Rejects with a Failure when it is cut off, no archive, or a decompression bomb. */
export type Archive = AsyncIterable<ArchiveEntry>;

/** Bytes put aside. */
export interface Aside {
  readonly digest: Digest;
  readonly size: number;
  readonly offset: number;
}

/** A place for what must be read before one knows what it is. Leaves nothing behind, not even after a crash. */
export interface Scratch {
  append(body: AsyncIterable<Buffer>): Promise<Aside>;
  read(aside: Aside): AsyncIterable<Buffer>;
  close(): Promise<void>;
}

/** The archive, not we or the upstream, is to blame. Status 400. */
export function badArchive(message: string, cause?: unknown): Failure {
  return new Failure('MANIFEST_INVALID', message, { origin: 'client', ...(cause === undefined ? {} : { cause }) });
}

/**
 * The path of a member below the archive's root: `./a//b` is `a/b`. Throws Failure for one that is absolute, leaves the
 * root, or that tools on other systems would read differently.
 */
export function memberPath(path: string): string {
  if (/[\0\\]/.test(path) || path.startsWith('/'))
    throw badArchive(`the archive has a member with the path "${shown(path)}"`);
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw badArchive(`the archive has a member with the path "${shown(path)}"`);
  return parts.join('/');
}

/** Where a link points, below the root. Throws Failure when that is elsewhere. */
export function linkPath(from: string, link: string, symbolic: boolean): string {
  const outside = () => badArchive(`the link "${shown(from)}" points to "${shown(link)}", outside the archive`);
  if (/[\0\\]/.test(link) || link.startsWith('/')) throw outside();
  const parts = symbolic ? from.split('/').slice(0, -1) : [];
  for (const part of link.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.pop() === undefined) throw outside();
  }
  return parts.join('/');
}

function shown(path: string): string {
  return path.slice(0, 200).replace(/[\p{Cc}]/gu, '?');
}
