import { childNames, KEYS, keyAt, pathText } from './keys.js';
import type { Path } from './tree.js';

/** Where a value was given. */
export type Source =
  | { readonly kind: 'file'; readonly file: string; readonly line?: number; readonly column?: number }
  | { readonly kind: 'environment'; readonly variable: string }
  | { readonly kind: 'flag'; readonly flag: string };

export interface Problem {
  /** `registries[0].name`; empty for the file as a whole. */
  readonly key: string;
  /** As given, secrets masked; absent when there is none or it is no scalar. */
  readonly value?: string;
  readonly reason: string;
  readonly source?: Source;
}

/** The configuration was refused. `message` lists every problem, one a line. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly exitCode = 2;

  constructor(readonly problems: readonly Problem[]) {
    super(problems.map(formatProblem).join('\n'));
  }
}

/** `config.yaml:3:7: pullTimeout: "soon": expected ...`. */
export function formatProblem({ key, value, reason, source }: Problem): string {
  return [source && formatSource(source), key, value, reason].filter(Boolean).join(': ');
}

function formatSource(source: Source): string {
  if (source.kind === 'environment') return source.variable;
  if (source.kind === 'flag') return source.flag;
  return [source.file, source.line, source.column].filter((part) => part !== undefined).join(':');
}

const SENSITIVE = /pass|secret|token|static|credential|accesskey|auth/i;

/** A scalar for people; secrets and the user part of URLs are masked. */
export function showValue(value: unknown, path: Path): string | undefined {
  if (value === undefined || value === null || typeof value === 'object') return undefined;
  const name = String(path.findLast((part) => typeof part === 'string') ?? '');
  const key = keyAt(path);
  // The schema tells of a key that it knows; what stands where a section should be may be anything.
  const plain = key !== undefined && !key.secret && !key.types.has('object');
  if (!plain && (key?.secret || (SENSITIVE.test(name) && !/From(Env|File)$/.test(name)))) return '***';
  const text = String(value).replace(/(:\/\/)[^@]*@/g, '$1***@');
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}...` : text);
}

/** Why the key is refused, with the name that was probably meant. */
export function unknownKey(path: Path): string {
  const name = String(path.at(-1));
  const parent = path.slice(0, -1);
  const near = nearest(name, childNames(parent));
  if (near) return `unknown key; did you mean ${pathText([...parent, near])}?`;
  const elsewhere = [...KEYS.keys()].find((key) => key.split('.').at(-1) === name);
  return elsewhere ? `unknown key here; did you mean ${elsewhere}?` : 'unknown key';
}

/** The candidate that differs least, when it is near enough to be a slip. */
export function nearest(name: string, candidates: readonly string[]): string | undefined {
  const plain = (text: string) => text.toLowerCase().replace(/[_-]/g, '');
  const limit = Math.max(1, Math.floor(plain(name).length / 3));
  let best: string | undefined;
  let least = limit + 1;
  for (const candidate of name.length > 64 ? [] : candidates) {
    const distance = plain(candidate) === plain(name) ? 0 : editDistance(plain(name), plain(candidate));
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best;
}

/** Levenshtein, with a swap of neighbours as one step. */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (same ? 0 : 1));
      if (a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) next[j] = Math.min(next[j]!, before[j - 2]! + 1);
    }
    [before, row] = [row, next];
  }
  return row[b.length]!;
}
