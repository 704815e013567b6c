import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import type { KeptTag, ManifestRecord } from '#catalog';
import { type Digest, isDigest, type Repository } from '#oci';

/** Something that the catalog knows and that cannot be seen from the blobs. */
export type Fact =
  | { readonly kind: 'manifest'; readonly repository: Repository; readonly manifest: ManifestRecord }
  | { readonly kind: 'tag'; readonly repository: Repository; readonly digest: Digest; readonly tag: KeptTag }
  | { readonly kind: 'untag'; readonly repository: Repository; readonly name: string }
  /** The repository holds the blob. Its size is the store's to tell. */
  | { readonly kind: 'blob'; readonly repository: Repository; readonly digest: Digest };

const HEAD = JSON.stringify({ ociregistry: 'journal', version: 1 });
/** No segment of ours unpacks to more; a damaged one might. */
const MOST = 512 * 2 ** 20;

const zip = promisify<Buffer, object, Buffer>(gzip);
const unzip = promisify<Buffer, object, Buffer>(gunzip);

/** A segment: gzip of lines of JSON, the first of which says what it is. Off the event loop, where it is long. */
export function encodeFacts(facts: readonly Fact[]): Promise<Buffer> {
  return zip(Buffer.from([HEAD, ...facts.map(line)].map((text) => `${text}\n`).join('')), { level: 6 });
}

/** Bytes that a fact adds to a segment before it is compressed, about. */
export function weightOf(fact: Fact): number {
  return 200 + (fact.kind === 'manifest' ? Math.ceil((fact.manifest.bytes.length * 4) / 3) : 0);
}

/** Throws for what is no segment, or one of a later version. */
export async function decodeFacts(segment: Buffer): Promise<Fact[]> {
  const [head, ...lines] = (await unzip(segment, { maxOutputLength: MOST })).toString('utf8').split('\n');
  if (head !== HEAD) throw new Error('no segment of a journal, or one of a later version');
  return lines.filter((text) => text !== '').map(read);
}

function line(fact: Fact): string {
  const { upstream, path } = fact.repository;
  const at = [upstream, path];
  switch (fact.kind) {
    case 'manifest': {
      const { digest, mediaType, bytes } = fact.manifest;
      return JSON.stringify(['m', ...at, digest, mediaType, bytes.toString('base64')]);
    }
    case 'tag': {
      const { name, checkedAt, movedAt } = fact.tag;
      return JSON.stringify(['t', ...at, fact.digest, name, checkedAt.getTime(), movedAt.getTime()]);
    }
    case 'untag':
      return JSON.stringify(['u', ...at, fact.name]);
    case 'blob':
      return JSON.stringify(['b', ...at, fact.digest]);
  }
}

function read(text: string): Fact {
  const parsed: unknown = JSON.parse(text);
  const [kind, upstream, path, third, fourth, fifth, sixth] = Array.isArray(parsed) ? parsed : [];
  const repository = { upstream: String(upstream), path: String(path) };
  const digest = typeof third === 'string' && isDigest(third) ? third : undefined;
  if (kind === 'm' && digest && typeof fourth === 'string' && typeof fifth === 'string')
    return {
      kind: 'manifest',
      repository,
      manifest: { digest, mediaType: fourth, bytes: Buffer.from(fifth, 'base64') },
    };
  if (kind === 't' && digest && typeof fourth === 'string')
    return {
      kind: 'tag',
      repository,
      digest,
      tag: { name: fourth, checkedAt: new Date(Number(fifth)), movedAt: new Date(Number(sixth)) },
    };
  if (kind === 'u' && typeof third === 'string') return { kind: 'untag', repository, name: third };
  if (kind === 'b' && digest) return { kind: 'blob', repository, digest };
  throw new Error(`not a fact: ${text.slice(0, 100)}`);
}
