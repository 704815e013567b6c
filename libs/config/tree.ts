/** Raw configuration, before the schema has looked at it. Objects have no prototype, so that `__proto__` is a plain key. */
export type Tree = { [key: string]: unknown };
export type Path = readonly PropertyKey[];

export function newTree(): Tree {
  return Object.create(null) as Tree;
}

export function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function valueAt(tree: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (node, part) =>
      typeof node === 'object' && node !== null && Object.hasOwn(node, part)
        ? (node as Record<PropertyKey, unknown>)[part]
        : undefined,
    tree,
  );
}

/** Puts a value, making the objects on the way. */
export function putAt(tree: Tree, path: readonly string[], value: unknown): void {
  let node = tree;
  for (const part of path.slice(0, -1)) {
    if (!isTree(node[part])) node[part] = newTree();
    node = node[part] as Tree;
  }
  node[path.at(-1)!] = value;
}

/** Calls `visit` for every value, parents first; what it returns replaces the value, `undefined` removes it. */
export function transform(value: unknown, visit: (value: unknown, path: Path) => unknown, path: Path = []): unknown {
  const seen = visit(value, path);
  if (Array.isArray(seen)) return seen.map((item, index) => transform(item, visit, [...path, index]) ?? null);
  if (!isTree(seen)) return seen;
  const out = newTree();
  for (const [key, child] of Object.entries(seen)) {
    const result = transform(child, visit, [...path, key]);
    if (result !== undefined) out[key] = result;
  }
  return out;
}

/** Every object of the tree with its path, parents first. */
export function* objects(value: unknown, path: Path = []): Generator<{ readonly node: Tree; readonly path: Path }> {
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) yield* objects(item, [...path, index]);
  } else if (isTree(value)) {
    yield { node: value, path };
    for (const [key, child] of Object.entries(value)) yield* objects(child, [...path, key]);
  }
}

/**
 * `upper` over `lower`; lists replace. A secret that the upper layer gives in one form takes the place of every form
 * in the lower one, and so does `imagePath` of `dataDir`.
 */
export function merge(lower: Tree, upper: Tree): Tree {
  const out = newTree();
  const replaced = new Set(Object.keys(upper).flatMap(rivals));
  for (const [key, value] of Object.entries(lower)) if (!replaced.has(key)) out[key] = value;
  for (const [key, value] of Object.entries(upper)) {
    const below = lower[key];
    out[key] = isTree(below) && isTree(value) ? merge(below, value) : value;
  }
  return out;
}

function rivals(key: string): string[] {
  if (key === 'imagePath') return ['dataDir'];
  const base = key.replace(/From(Env|File)$/, '');
  return [base, `${base}FromEnv`, `${base}FromFile`].filter((name) => name !== key);
}
