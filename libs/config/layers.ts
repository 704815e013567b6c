import { ENV_PREFIX, KEYS, type Key, keyAt } from './keys.js';
import { nearest, type Problem, type Source } from './problems.js';
import { newTree, type Path, putAt, type Tree, transform } from './tree.js';

/** One place that configuration comes from. */
export interface Layer {
  readonly tree: Tree;
  readonly problems: readonly Problem[];
  /** Where `path`, which is in `tree`, was given. */
  locate(path: Path): Source | undefined;
}

/** Command line flags by key path; `names` gives the flag that people typed. */
export function flagLayer(values: Readonly<Record<string, unknown>>, names: Readonly<Record<string, string>>): Layer {
  const tree = newTree();
  for (const [path, value] of Object.entries(values)) {
    if (value === undefined) continue;
    const key = KEYS.get(path);
    putAt(tree, path.split('.'), key && typeof value === 'string' ? fromText(value, key).value : value);
  }
  return {
    tree: normal(tree),
    problems: [],
    locate: (path) => {
      const flag = names[path.join('.')];
      return flag === undefined ? undefined : { kind: 'flag', flag };
    },
  };
}

const KUBERNETES = /_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/;

/**
 * The `OCIREGISTRY_` variables; those in `exempt` are read by name from elsewhere. What Kubernetes sets for a Service
 * called `ociregistry` (`OCIREGISTRY_PORT=tcp://...`) and `OCIREGISTRY_TEST_...` are not configuration.
 */
export function environmentLayer(
  env: Readonly<Record<string, string | undefined>>,
): Layer & { readonly unknown: readonly string[] } {
  const tree = newTree();
  const problems: Problem[] = [];
  const unknown: string[] = [];
  const byVariable = new Map([...KEYS.values()].flatMap((key) => (key.variable ? [[key.variable, key] as const] : [])));
  // Shorter names first, so that a whole section may be given as JSON and one of its keys beside it.
  for (const variable of Object.keys(env).sort((a, b) => a.length - b.length)) {
    const value = env[variable];
    if (value === undefined || !variable.startsWith(ENV_PREFIX) || variable.startsWith(`${ENV_PREFIX}TEST_`)) continue;
    const key = byVariable.get(variable);
    if (KUBERNETES.test(variable) && !key) continue;
    if (variable.endsWith('_PORT') && /^(tcp|udp|sctp):\/\//.test(value)) continue;
    if (!key) {
      unknown.push(variable);
      continue;
    }
    if (value === '' && key.path !== 'defaultNs') continue;
    const read = fromText(value, key);
    if (read.reason) problems.push({ key: key.path, reason: read.reason, source: { kind: 'environment', variable } });
    else {
      const path = key.path.split('.');
      putAt(tree, path, read.value);
      Object.assign(tree, normal(tree));
    }
  }
  return {
    tree: normal(tree),
    problems,
    unknown,
    locate: (path) => {
      for (let n = path.length; n > 0; n--) {
        const variable = keyAt(path.slice(0, n))?.variable;
        if (variable !== undefined && env[variable]) return { kind: 'environment', variable };
      }
      return undefined;
    },
  };
}

export function unknownVariable(variable: string): Problem {
  const withoutPrefix = (name: string) => name.slice(ENV_PREFIX.length);
  const names = [...KEYS.values()].flatMap((key) => (key.variable ? withoutPrefix(key.variable) : []));
  const near = nearest(withoutPrefix(variable), names);
  const reason = near ? `unknown variable; did you mean ${ENV_PREFIX}${near}?` : 'unknown variable';
  return { key: '', reason, source: { kind: 'environment', variable } };
}

/** Text of a variable or flag as the type that the key has; what does not fit is left for the schema to refuse. */
function fromText(text: string, key: Key): { readonly value?: unknown; readonly reason?: string } {
  const { types, items } = key;
  const structured = types.has('object') || (types.has('array') && !items.has('string'));
  if (structured ? !types.has('string') || /^\s*[{[]/.test(text) : types.has('array') && /^\s*\[/.test(text)) {
    try {
      return { value: JSON.parse(text) as unknown };
    } catch {
      return { reason: 'expected JSON' };
    }
  }
  if (types.has('boolean')) {
    const value = text === '1' ? true : text === '0' ? false : toBoolean(text);
    if (typeof value === 'boolean') return { value };
  }
  if (types.has('array'))
    return {
      value: text
        .split(',')
        .map((part) => part.trim())
        .filter((part) => part !== ''),
    };
  if (!types.has('string') && /^-?\d+(\.\d+)?$/.test(text)) return { value: Number(text) };
  return { value: text };
}

/** YAML 1.1 booleans, which Go's parser takes where a boolean is expected. */
export function toBoolean(text: string): boolean | string {
  if (/^(y|yes|on|true)$/i.test(text)) return true;
  return /^(n|no|off|false)$/i.test(text) ? false : text;
}

/** Empty keys are no keys, except that an empty `defaultNs` switches it off; short forms become long ones. */
export function normal(tree: Tree): Tree {
  return transform(tree, (value, path) => {
    const inList = typeof path.at(-1) === 'number';
    if ((value === null || value === '') && !inList) {
      if (path.length === 1 && path[0] === 'defaultNs') return '';
      return keyAt(path) ? undefined : value;
    }
    if (path.join('.') === 'bus.nats' && (typeof value === 'string' || Array.isArray(value))) {
      const long = newTree();
      long.servers = typeof value === 'string' ? [value] : value;
      return long;
    }
    return value;
  }) as Tree;
}
