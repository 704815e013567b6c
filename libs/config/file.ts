import { readFileSync, statSync } from 'node:fs';
import { type Document, isMap, isScalar, LineCounter, parseDocument } from 'yaml';
import { type Key, keyAt } from './keys.js';
import { type Layer, normal, toBoolean } from './layers.js';
import type { Problem, Source } from './problems.js';
import { isTree, newTree, type Path, type Tree, transform } from './tree.js';

const MAX_FILE = 1024 * 1024;

/** The YAML file; never throws. `source` tells who named it. */
export function fileLayer(file: string, source: Source): Layer {
  const read = readText(file, MAX_FILE);
  if (read.text !== undefined) return yamlLayer(read.text, file);
  return refused([{ key: 'configFile', value: JSON.stringify(file), reason: read.reason!, source }]);
}

/** YAML text; `file` is its name in messages. Never throws. */
function yamlLayer(text: string, file: string): Layer {
  const lines = new LineCounter();
  const at = (offset?: number): Source => {
    const position = offset === undefined ? undefined : lines.linePos(offset);
    return { kind: 'file', file, ...(position ? { line: position.line, column: position.col } : {}) };
  };
  let document: Document.Parsed;
  let value: unknown;
  try {
    document = parseDocument(text, { lineCounter: lines, prettyErrors: false, merge: true, logLevel: 'silent' });
    if (document.errors.length > 0) {
      // The parser quotes the text after a colon, and the text may be a secret.
      const reason = (message: string) => `not YAML: ${message.replace(/:\s.*$/s, '')}`;
      return refused(
        document.errors.map((error) => ({ key: '', reason: reason(error.message), source: at(error.pos[0]) })),
      );
    }
    value = document.toJS({ maxAliasCount: 100 }) ?? newTree();
  } catch {
    // An alias without anchor, a bomb of aliases, or nesting that exhausts the stack.
    return refused([{ key: '', reason: 'not YAML that can be used: bad aliases or too deep', source: at() }]);
  }
  if (!isTree(value)) return refused([{ key: '', reason: 'expected keys and values', source: at() }]);
  return {
    tree: normal(transform(value, (item, path) => typed(item, path, document)) as Tree),
    problems: [],
    locate: (path) => at(offsetOf(document, path)),
  };
}

/** Text of a file of at most `limit` bytes, or why not. */
export function readText(file: string, limit: number): { readonly text?: string; readonly reason?: string } {
  try {
    const stat = statSync(file);
    if (!stat.isFile()) return { reason: 'not a file' };
    if (stat.size > limit) return { reason: `larger than ${limit / 1024} KiB` };
    return { text: readFileSync(file, 'utf8') };
  } catch (error) {
    return { reason: fileReason(error) };
  }
}

/** Why a file could not be used, for people. */
export function fileReason(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOENT') return 'no such file';
  if (code === 'EACCES') return 'permission denied';
  return `cannot be read (${code ?? 'unknown error'})`;
}

function refused(problems: readonly Problem[]): Layer {
  return { tree: newTree(), problems, locate: () => undefined };
}

/** As Go's YAML does it, the type of the key decides: `password: 0123` is text, and `airGapped: yes` is true. */
function typed(item: unknown, path: Path, document: Document.Parsed): unknown {
  const inList = typeof path.at(-1) === 'number';
  const key: Key | undefined = keyAt(inList ? path.slice(0, -1) : path);
  if (!key) return item;
  const types = inList ? key.items : key.types;
  if ((typeof item === 'number' || typeof item === 'boolean') && types.size === 1 && types.has('string')) {
    const node = document.getIn(path, true);
    return isScalar(node) && node.source !== undefined ? node.source : String(item);
  }
  return typeof item === 'string' && types.has('boolean') ? toBoolean(item) : item;
}

/** Where the value of a known scalar key starts, else where the key does. */
function offsetOf(document: Document.Parsed, path: Path): number | undefined {
  const node = document.getIn(path, true) as { range?: readonly [number, ...number[]] | null } | undefined;
  const parent = document.getIn(path.slice(0, -1), true);
  const pair = isMap(parent)
    ? parent.items.find(({ key }) => isScalar(key) && String(key.value) === path.at(-1))
    : undefined;
  const key = pair?.key as { range?: readonly [number, ...number[]] | null } | undefined;
  return isScalar(node) && keyAt(path) ? node.range?.[0] : (key?.range?.[0] ?? node?.range?.[0]);
}
