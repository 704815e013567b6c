import { accessSync, constants, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileReason, readText } from './file.js';
import { keyAt } from './keys.js';
import { objects, type Path, type Tree } from './tree.js';

/** A problem before it is known where its value was given. */
export interface Finding {
  readonly path: Path;
  readonly reason: string;
}

/** These files are read again while the server runs, so that their paths stay. */
const WATCHED: ReadonlySet<string> = new Set(['registries[].auth.passwordFromFile']);
const MAX_SECRET_FILE = 64 * 1024;

interface Reference {
  readonly node: Tree;
  readonly path: Path;
  /** `password` of `passwordFromEnv`. */
  readonly base: string;
  readonly name: string;
  readonly from: 'Env' | 'File';
  readonly target: string;
}

function* references(tree: Tree): Generator<Reference> {
  for (const { node, path } of objects(tree)) {
    for (const [name, target] of Object.entries(node)) {
      const match = /^(.+)From(Env|File)$/.exec(name);
      if (!match || typeof target !== 'string' || !keyAt([...path, match[1]!])?.secret) continue;
      yield { node, path: [...path, name], base: match[1]!, name, from: match[2] as 'Env' | 'File', target };
    }
  }
}

/** Names of the variables that secrets are read from. */
export function secretVariables(tree: Tree): string[] {
  return [...references(tree)].filter((reference) => reference.from === 'Env').map((reference) => reference.target);
}

/** Puts the secrets in the place of `...FromEnv` and `...FromFile`. */
export function resolveSecrets(tree: Tree, env: Readonly<Record<string, string | undefined>>): Finding[] {
  const findings: Finding[] = [];
  for (const { node, path, base, name, from, target } of [...references(tree)]) {
    delete node[name];
    if (node[base] !== undefined) {
      findings.push({ path, reason: `only one of ${base}, ${base}FromEnv and ${base}FromFile may be set` });
      continue;
    }
    const read = from === 'Env' ? readVariable(env, target) : readSecretFile(target);
    if (read.reason !== undefined) findings.push({ path, reason: read.reason });
    else node[base] = read.value;
    if (from === 'File' && WATCHED.has(keyAt(path)?.path ?? '')) node[name] = resolve(target);
  }
  return findings;
}

function readVariable(env: Readonly<Record<string, string | undefined>>, name: string) {
  const value = env[name];
  return value ? { value } : { reason: 'this environment variable is not set' };
}

function readSecretFile(file: string): { value?: string; reason?: string } {
  const { text, reason } = readText(file, MAX_SECRET_FILE);
  const value = text?.replace(/\r?\n$/, '');
  return value === '' ? { reason: 'the file is empty' } : { value, reason };
}

/** Files that keys name must be readable. */
export function unreadableFiles(tree: Tree): Finding[] {
  const findings: Finding[] = [];
  for (const { node, path } of objects(tree)) {
    for (const [name, value] of Object.entries(node)) {
      if (typeof value !== 'string' || !keyAt([...path, name])?.file) continue;
      try {
        accessSync(value, constants.R_OK);
        if (!statSync(value).isFile()) findings.push({ path: [...path, name], reason: 'not a file' });
      } catch (error) {
        findings.push({ path: [...path, name], reason: fileReason(error) });
      }
    }
  }
  return findings;
}
