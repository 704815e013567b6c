import type { Catalog, ImageNode } from '#catalog';
import { type Digest, parseReference } from '#oci';

export interface CheckedObject {
  readonly kind: 'blob' | 'manifest';
  readonly digest: Digest;
  /** Bytes, as its descriptor says. */
  readonly size: number;
}

const PAGE = 100;

/** What the cache holds of one image, or of all whose reference matches; a layer of several images comes several times. */
export async function* objectsOf(
  scope: { readonly image?: string | undefined; readonly patterns?: readonly string[] | undefined },
  { inventory }: Catalog,
): AsyncGenerator<CheckedObject> {
  if (scope.image !== undefined) {
    const { repository, tag, digest } = parseReference(scope.image);
    const image = await inventory.image(repository, digest ?? tag ?? 'latest');
    if (image) yield* below(image.tree);
    return;
  }
  for (let after: readonly string[] | undefined; ; ) {
    const page = { sort: 'reference', descending: false, limit: PAGE, ...(after ? { after } : {}) } as const;
    const { items, next } = await inventory.images(scope.patterns ? { patterns: scope.patterns } : {}, page);
    for (const { repository, tag, digest } of items) {
      const image = await inventory.image(repository, tag ?? digest);
      if (image) yield* below(image.tree);
    }
    if (!next) return;
    after = next;
  }
}

function* below({ digest, size, held, children, contents }: ImageNode): Generator<CheckedObject> {
  if (!held) return;
  yield { kind: 'manifest', digest, size };
  for (const content of contents) if (content.held) yield { kind: 'blob', digest: content.digest, size: content.size };
  for (const child of children) yield* below(child);
}
