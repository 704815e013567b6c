import { z } from 'zod';
import { schema } from './schema.js';

type Json = Record<string, unknown> & {
  type?: string | string[];
  properties?: Record<string, Json>;
  items?: Json;
  anyOf?: Json[];
  required?: string[];
  default?: unknown;
};

/** One key of the configuration, as the schema tells it. */
export interface Key {
  /** `tags.rules[].match`. */
  readonly path: string;
  /** JSON types that are accepted. */
  readonly types: ReadonlySet<string>;
  /** JSON types of the elements of a list. */
  readonly items: ReadonlySet<string>;
  readonly description: string;
  /** JSON, or prose when it depends on the machine; undefined without a default. */
  readonly defaultText?: string;
  readonly words?: readonly string[];
  readonly required: boolean;
  readonly secret: boolean;
  /** Names a file that must be readable. */
  readonly file: boolean;
  /** Environment variable; keys of list elements have none. */
  readonly variable?: string;
}

/** Start of the names of all environment variables. */
export const ENV_PREFIX = 'OCIREGISTRY_';

/** Every key, parents before children. */
export const KEYS: ReadonlyMap<string, Key> = collect();

/** The key that the concrete path names: `['tags', 'rules', 0, 'match']`. */
export function keyAt(path: readonly PropertyKey[]): Key | undefined {
  return KEYS.get(pathPattern(path));
}

/** Names that are known directly below the concrete path. */
export function childNames(path: readonly PropertyKey[]): string[] {
  const parent = pathPattern(path);
  const prefix = parent === '' ? '' : `${parent}.`;
  return [...KEYS.keys()]
    .filter((key) => key.startsWith(prefix) && !/[.[]/.test(key.slice(prefix.length)))
    .map((key) => key.slice(prefix.length));
}

/** `tags.rules[0].match`. */
export function pathText(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    return text === '' ? String(part) : `${text}.${String(part)}`;
  }, '');
}

function pathPattern(path: readonly PropertyKey[]): string {
  return pathText(path).replace(/\[\d+\]/g, '[]');
}

/** JSON schema of the file, for editors. */
export function jsonSchema(): Record<string, unknown> {
  const { $schema, ...root } = rawSchema();
  return {
    $schema,
    $id: 'https://github.com/ociregistry/ociregistry/deploy/config/ociregistry.schema.json',
    title: 'Configuration of ociregistry',
    ...published(root as Json, true),
  };
}

function rawSchema(): Json {
  return z.toJSONSchema(schema, { io: 'input' }) as Json;
}

/** An empty key (`logFile:`) is the same as none, so every optional key may be null. */
function published(node: Json, required: boolean): Json {
  const {
    'x-file': _file,
    'x-default': _prose,
    'x-short': short,
    properties,
    items,
    anyOf,
    required: names,
    ...rest
  } = node;
  const out: Json = { ...rest };
  if (isEmptyObject(out.default)) delete out.default;
  if (items) out.items = published(items, true);
  if (anyOf) out.anyOf = anyOf.map((branch) => published(branch, true));
  if (properties) {
    out.properties = Object.fromEntries(
      Object.entries(properties).map(([name, child]) => [name, published(child, names?.includes(name) ?? false)]),
    );
    if (names) out.required = names;
  }
  if (short) {
    const { description, ...object } = out;
    return { description, anyOf: [{ type: ['string', 'null'] }, { type: 'array', items: { type: 'string' } }, object] };
  }
  if (Array.isArray(out.enum)) {
    // Words are taken in any letter case; the list is what editors offer.
    const { enum: words, type: _type, ...others } = out;
    const pattern = `^(${(words as string[]).map(anyCase).join('|')})$`;
    return {
      ...others,
      anyOf: [{ enum: required ? words : [...(words as string[]), null] }, { type: 'string', pattern }],
    };
  }
  if (required) return out;
  if (out.anyOf) out.anyOf = [...out.anyOf, { type: 'null' }];
  else if (out.type) out.type = [...typesOf(out), 'null'];
  return out;
}

function anyCase(word: string): string {
  return word.replace(/[a-z]/g, (letter) => `[${letter}${letter.toUpperCase()}]`);
}

function collect(): Map<string, Key> {
  const keys = new Map<string, Key>();
  const variables = new Set<string>();
  const walk = (node: Json, parent: string): void => {
    for (const [name, child] of Object.entries(node.properties ?? {})) {
      const path = parent === '' ? name : `${parent}.${name}`;
      const types = typesOf(child);
      if (child['x-short']) types.add('string').add('array');
      const items = child.items ?? child.anyOf?.find((branch) => branch.items)?.items;
      const words = child.enum as string[] | undefined;
      // `preloadImages` and `preload.images` would share a name: the first one, the Go server's, has it.
      const variable = path.includes('[]') || variables.has(variableName(path)) ? undefined : variableName(path);
      if (variable) variables.add(variable);
      keys.set(path, {
        path,
        types,
        items: items ? typesOf(items) : new Set(child['x-short'] ? ['string'] : []),
        description: String(child.description ?? ''),
        defaultText: defaultText(child),
        ...(words ? { words } : {}),
        required: node.required?.includes(name) ?? false,
        secret: child['x-secret'] === true,
        file: child['x-file'] === true,
        ...(variable ? { variable } : {}),
      });
      walk(child, path);
      if (items) walk(items, `${path}[]`);
    }
  };
  walk(rawSchema(), '');
  return keys;
}

function typesOf(node: Json): Set<string> {
  if (node.anyOf) return new Set(node.anyOf.flatMap((branch) => [...typesOf(branch)]));
  if (node.type === undefined) return new Set();
  return new Set(Array.isArray(node.type) ? node.type : [node.type]);
}

function defaultText(node: Json): string | undefined {
  if (node['x-default'] !== undefined) return String(node['x-default']);
  if (node.default === undefined || isEmptyObject(node.default)) return undefined;
  return `\`${typeof node.default === 'string' ? node.default || "''" : JSON.stringify(node.default)}\``;
}

function isEmptyObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length === 0;
}

/** `blobs.s3.accessKey` -> `OCIREGISTRY_BLOBS_S3_ACCESS_KEY`. */
function variableName(path: string): string {
  return (
    ENV_PREFIX +
    path
      .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
      .replaceAll('.', '_')
      .toUpperCase()
  );
}
