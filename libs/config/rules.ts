import { readText } from './file.js';
import { MOST_USERS_FILE, parseHtpasswd } from './htpasswd.js';
import type { Role } from './schema.js';
import type { Finding } from './secrets.js';
import { isTree, type Path, type Tree, valueAt } from './tree.js';

export type Stack = 'standalone' | 'distributed';

const SHARED: readonly Path[] = [
  ['metadata', 'url'],
  ['bus', 'nats'],
  ['blobs', 's3'],
];

/** Alone, or with parts that are shared over the network. */
export function stackOf(tree: Tree, role: Role): Stack {
  return role === 'all' && SHARED.every((path) => valueAt(tree, path) === undefined) ? 'standalone' : 'distributed';
}

/** What no single key can tell. Works on raw values, so that it speaks up beside the schema's complaints. */
export function checkRules(tree: Tree, role: Role): Finding[] {
  return [
    ...missingParts(tree, role),
    ...pairs(tree),
    ...credentials(tree),
    ...duplicates(tree),
    ...portClashes(tree, role),
    ...clients(tree, role),
    ...shareOfNoDisk(tree),
    ...redirects(tree),
  ];
}

/** Files have no address that a client could be sent to. */
function redirects(tree: Tree): Finding[] {
  if (valueAt(tree, ['redirect']) !== 'always' || valueAt(tree, ['blobs', 's3']) !== undefined) return [];
  return [{ path: ['redirect'], reason: 'always needs blobs.s3' }];
}

function missingParts(tree: Tree, role: Role): Finding[] {
  if (stackOf(tree, role) === 'standalone') return [];
  const given = SHARED.filter((path) => valueAt(tree, path) !== undefined).map((path) => path.join('.'));
  const why =
    role === 'all'
      ? `required, since ${given.join(' and ')} ${given.length > 1 ? 'are' : 'is'} set (set all of metadata.url, bus.nats and blobs.s3, or none)`
      : `required by the role ${role}`;
  return SHARED.filter((path) => valueAt(tree, path) === undefined).map((path) => ({ path, reason: why }));
}

/** The file of users must be one, and gateways that are several must know each other's tokens. */
function clients(tree: Tree, role: Role): Finding[] {
  const section = valueAt(tree, ['clientAuth']);
  if (!isTree(section) || (role !== 'all' && role !== 'gateway')) return [];
  const findings: Finding[] = [];
  if (typeof section.htpasswd === 'string') {
    const { text } = readText(section.htpasswd, MOST_USERS_FILE);
    const { problem } = text === undefined ? {} : parseHtpasswd(text);
    if (problem) findings.push({ path: ['clientAuth', 'htpasswd'], reason: problem });
  }
  if (stackOf(tree, role) === 'distributed' && section.tokenKey === undefined) {
    const reason = 'required by the distributed stack: the same for all gateways, such as `openssl rand -hex 32` gives';
    findings.push({ path: ['clientAuth', 'tokenKey'], reason });
  }
  return findings;
}

function shareOfNoDisk(tree: Tree): Finding[] {
  const path = ['cache', 'maxSize'];
  if (valueAt(tree, ['blobs', 's3']) === undefined || !String(valueAt(tree, path) ?? '').includes('%')) return [];
  return [{ path, reason: 'a share of the disk needs blobs.filesystem; give bytes, such as 500GiB' }];
}

/** Keys that go together: certificate and key, the two S3 keys. */
function pairs(tree: Tree): Finding[] {
  const tlsPaths: Path[] = [
    ['serverTlsConfig'],
    ['relay', 'tls'],
    ['bus', 'nats', 'tls'],
    ...registries(tree).map((index) => ['registries', index, 'tls']),
  ];
  const findings = tlsPaths.flatMap((path) => both(tree, path, 'cert', 'key'));
  findings.push(...both(tree, ['blobs', 's3'], 'accessKey', 'secretKey'));
  for (const [path, why] of [
    [['relay', 'tls'], 'relay.tls is set'],
    [['serverTlsConfig'], 'clientAuth is verify'],
  ] as const) {
    const section = valueAt(tree, path);
    if (!isTree(section) || section.cert !== undefined || section.key !== undefined) continue;
    if (path[0] === 'relay' || String(section.clientAuth).toLowerCase() === 'verify') {
      findings.push({ path: [...path, 'cert'], reason: `required, since ${why}` });
    }
  }
  return findings;
}

function both(tree: Tree, path: Path, one: string, other: string): Finding[] {
  const section = valueAt(tree, path);
  if (!isTree(section) || (section[one] === undefined) === (section[other] === undefined)) return [];
  const [given, missing] = section[one] === undefined ? [other, one] : [one, other];
  return [{ path: [...path, missing], reason: `required, since ${given} is set` }];
}

function credentials(tree: Tree): Finding[] {
  const findings: Finding[] = [];
  for (const index of registries(tree)) {
    const path = ['registries', index, 'auth'];
    const auth = valueAt(tree, path);
    if (!isTree(auth)) continue;
    if (auth.password !== undefined && auth.user === undefined)
      findings.push({ path: [...path, 'user'], reason: 'required, since password is set' });
    if (!isTree(auth.token)) continue;
    if (auth.user !== undefined)
      findings.push({ path: [...path, 'token'], reason: 'user and token cannot both be set' });
    if (auth.token.provider === undefined && auth.token.static === undefined) {
      findings.push({ path: [...path, 'token'], reason: 'one of provider and static is required' });
    }
  }
  const nats = valueAt(tree, ['bus', 'nats']);
  if (isTree(nats)) {
    const given = ['user', 'token', 'credsFile'].filter((name) => nats[name] !== undefined);
    if (given.length > 1)
      findings.push({ path: ['bus', 'nats'], reason: `only one of ${given.join(', ')} may be set` });
    if (nats.password !== undefined && nats.user === undefined)
      findings.push({ path: ['bus', 'nats', 'user'], reason: 'required, since password is set' });
  }
  const prune = tree.pruneConfig;
  if (
    isTree(prune) &&
    prune.enabled === true &&
    String(prune.type).toLowerCase() === 'pattern' &&
    prune.expr === undefined
  ) {
    findings.push({ path: ['pruneConfig', 'expr'], reason: 'required, since type is pattern' });
  }
  return findings;
}

function duplicates(tree: Tree): Finding[] {
  const seen = new Map<string, number>();
  const findings: Finding[] = [];
  for (const index of registries(tree)) {
    const name = valueAt(tree, ['registries', index, 'name']);
    if (typeof name !== 'string') continue;
    const first = seen.get(name.toLowerCase());
    if (first === undefined) seen.set(name.toLowerCase(), index);
    else findings.push({ path: ['registries', index, 'name'], reason: `already configured by registries[${first}]` });
  }
  return findings;
}

function registries(tree: Tree): number[] {
  return Array.isArray(tree.registries) ? [...tree.registries.keys()] : [];
}

const ADMIN_PORT = 8081;

/** The ports that the process opens, without those the system chooses. */
function openPorts(tree: Tree, role: Role): Map<string, number> {
  const ports = new Map<string, unknown>();
  if (role === 'all' || role === 'gateway') ports.set('port', tree.port ?? 8080);
  if (role === 'puller' || (role === 'all' && stackOf(tree, role) === 'distributed')) {
    ports.set('relay.port', valueAt(tree, ['relay', 'port']) ?? 8082);
  }
  for (const key of ['health', 'metrics', 'adminPort']) ports.set(key, tree[key]);
  return new Map([...ports].filter((entry): entry is [string, number] => typeof entry[1] === 'number' && entry[1] > 0));
}

function portClashes(tree: Tree, role: Role): Finding[] {
  const owner = new Map<number, string>();
  const findings: Finding[] = [];
  for (const [key, number] of openPorts(tree, role)) {
    const other = owner.get(number);
    if (other === undefined) owner.set(number, key);
    else findings.push({ path: key.split('.'), reason: `the same port as ${other}` });
  }
  return findings;
}

/** 8081, or the next port when another key has taken it: the Go server's chart starts `serve --health 8081`. */
export function defaultAdminPort(tree: Tree, role: Role): number {
  const taken = new Set(openPorts(tree, role).values());
  let candidate = ADMIN_PORT;
  while (taken.has(candidate)) candidate++;
  return candidate;
}
