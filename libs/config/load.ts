import type { z } from 'zod';
import { fileLayer } from './file.js';
import { pathText } from './keys.js';
import { environmentLayer, flagLayer, type Layer, unknownVariable } from './layers.js';
import { ConfigError, type Problem, type Source, showValue, unknownKey } from './problems.js';
import { type Machine, resolveDefaults, thisMachine } from './resolve.js';
import { checkRules, defaultAdminPort, stackOf } from './rules.js';
import { type Config, type Role, schema } from './schema.js';
import { type Finding, resolveSecrets, secretVariables, unreadableFiles } from './secrets.js';
import { merge, newTree, type Path, type Tree, valueAt } from './tree.js';

export interface LoadOptions {
  /** Decides what is required; `all` by default. */
  readonly role?: Role;
  /** Values of command line flags by key (`port`, `dataDir`); `undefined` is not given. */
  readonly flags?: Readonly<Record<string, unknown>>;
  /** How people typed those flags (`--port`), for messages. */
  readonly flagNames?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The YAML file; else `OCIREGISTRY_CONFIG_FILE`; else none. */
  readonly file?: string;
  readonly machine?: Machine;
}

export interface Loaded {
  readonly config: Config;
  /** For the log at start: keys without effect and choices that may surprise. */
  readonly warnings: readonly string[];
}

/**
 * Reads the configuration: file below environment below flags.
 * @throws ConfigError with every problem that was found.
 */
export function load(options: LoadOptions = {}): Loaded {
  const { role = 'all', env = {}, machine = thisMachine() } = options;
  const flags = flagLayer(options.flags ?? {}, options.flagNames ?? {});
  const environment = environmentLayer(env);
  const file = options.file ?? (env.OCIREGISTRY_CONFIG_FILE || undefined);
  const origin: Source = options.file
    ? { kind: 'flag', flag: '--config-file' }
    : { kind: 'environment', variable: 'OCIREGISTRY_CONFIG_FILE' };
  const fromFile = file === undefined ? undefined : fileLayer(file, origin);
  const layers: Layer[] = [...(fromFile ? [fromFile] : []), environment, flags];

  const given = layers.reduce((tree, layer) => merge(tree, layer.tree), newTree());
  const exempt = new Set(secretVariables(given));
  const tree = copy(given) as Tree;
  const findings = [...resolveSecrets(tree, env), ...checkRules(tree, role), ...unreadableFiles(tree)];
  const parsed = schema.safeParse(tree);
  const problems = [
    ...layers.flatMap((layer) => layer.problems),
    ...environment.unknown.filter((variable) => !exempt.has(variable)).map(unknownVariable),
    ...(parsed.error?.issues ?? [])
      .flatMap((issue) => findingsOf(issue))
      .concat(findings)
      .map((finding) => toProblem(finding, given, layers)),
  ];
  if (!parsed.success || problems.length > 0) throw new ConfigError(distinct(problems));

  const adminPort = defaultAdminPort(tree, role);
  const config = resolveDefaults(
    { ...parsed.data, configFile: file },
    { stack: stackOf(tree, role), adminPort, machine, env },
  );
  return { config, warnings: warningsOf(given, config, fromFile?.tree.configFile) };
}

/** Secrets are put into a copy, while `given` still tells how they were written. */
function copy(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(copy);
  if (typeof value !== 'object' || value === null) return value;
  const out = newTree();
  for (const [key, child] of Object.entries(value)) out[key] = copy(child);
  return out;
}

function findingsOf(issue: z.core.$ZodIssue): Finding[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: [...issue.path, key], reason: unknownKey([...issue.path, key]) }));
  }
  const missing = issue.code === 'invalid_type' && /received undefined$/.test(issue.message);
  const reason = missing ? 'required' : issue.message.replace(/^Invalid input: /, '');
  return [{ path: issue.path, reason: reason.charAt(0).toLowerCase() + reason.slice(1) }];
}

function toProblem({ path, reason }: Finding, given: Tree, layers: readonly Layer[]): Problem {
  const known = !reason.startsWith('unknown key');
  const value = known ? showValue(valueAt(given, path), path) : undefined;
  const source = locate(path, layers);
  return { key: pathText(path), reason, ...(value ? { value } : {}), ...(source ? { source } : {}) };
}

/** The uppermost layer that gives the path, or the nearest thing around it. */
function locate(path: Path, layers: readonly Layer[]): Source | undefined {
  for (let n = path.length; n > 0; n--) {
    const part = path.slice(0, n);
    const layer = layers.findLast((candidate) => valueAt(candidate.tree, part) !== undefined);
    const source = layer?.locate(part);
    if (source) return source;
  }
  return undefined;
}

function distinct(problems: readonly Problem[]): Problem[] {
  const seen = new Set<string>();
  return problems.filter((problem) => {
    const id = `${problem.key}\0${problem.reason}\0${JSON.stringify(problem.source)}`;
    return !seen.has(id) && seen.add(id);
  });
}

function warningsOf(given: Tree, config: Config, fromFile: unknown): string[] {
  const warnings: string[] = [];
  if (fromFile !== undefined) warnings.push('configFile: has no effect inside the file');
  if (given.adminPort === undefined && config.adminPort !== 8081) {
    warnings.push(`adminPort: 8081 is taken by another key, so it is ${config.adminPort}`);
  }
  const { clientAuth, serverTlsConfig, publicUrl, trustProxy } = config;
  if (clientAuth && !serverTlsConfig.cert && !publicUrl?.startsWith('https:') && trustProxy === false) {
    warnings.push(
      'clientAuth: passwords travel in the clear; set serverTlsConfig, or publicUrl or trustProxy where a proxy in front has TLS',
    );
  }
  return warnings;
}
