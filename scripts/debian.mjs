// Programs of Debian releases other than the machine's own, unpacked beside the system: nothing is installed, and apt's
// own state is left alone.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';

/** Where the machine's own apt takes packages from, so that mirrors and proxies of it are used here too. */
function mirror() {
  const directory = '/etc/apt/sources.list.d';
  const files = existsSync(directory) ? readdirSync(directory).map((name) => join(directory, name)) : [];
  const text = ['/etc/apt/sources.list', ...files].filter(existsSync).map((file) => readFileSync(file, 'utf8'));
  const found = /(?:^URIs:\s*|^deb\s+(?:\[[^\]]*\]\s+)?)(\S+\/debian\/?)(?=\s|$)/m.exec(text.join('\n'));
  return found?.[1] ?? 'http://deb.debian.org/debian';
}

/**
 * The directory that holds the unpacked packages of `suite`, made with `run` when `directory` does not exist yet. Throws
 * Error with what apt said.
 */
export function unpackedDebs(directory, suite, packages, run) {
  if (existsSync(directory)) return directory;
  const state = mkdtempSync(join(tmpdir(), 'ociregistry-apt-'));
  const staging = `${directory}.${process.pid}`;
  try {
    for (const part of ['lists/partial', 'cache/archives/partial', 'debs'])
      mkdirSync(join(state, part), { recursive: true });
    const sources = join(state, 'sources.list');
    const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
    writeFileSync(sources, `deb [signed-by=${keyring}] ${mirror()} ${suite} main\n`);
    const options = {
      'Dir::Etc::sourcelist': sources,
      'Dir::Etc::sourceparts': '/dev/null',
      'Dir::Etc::preferencesparts': '/dev/null',
      'Dir::State::Lists': join(state, 'lists'),
      'Dir::State::status': '/dev/null',
      'Dir::Cache': join(state, 'cache'),
      'Acquire::Languages': 'none',
      'APT::Sandbox::User': 'root',
    };
    const apt = ['-q', ...Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`])];
    const debs = join(state, 'debs');
    for (const args of [['update'], ['download', ...packages]]) {
      const done = run('apt-get', [...apt, ...args], { cwd: debs });
      if (!done.ok) throw new Error(`apt-get ${args.join(' ')} from Debian ${suite} failed:\n${done.output}`);
    }
    mkdirSync(staging, { recursive: true });
    for (const deb of readdirSync(debs)) {
      const done = run('dpkg-deb', ['-x', join(debs, deb), staging]);
      if (!done.ok) throw new Error(`dpkg-deb -x ${deb} failed:\n${done.output}`);
    }
    renameSync(staging, directory);
    return directory;
  } finally {
    rmSync(state, { recursive: true, force: true });
    rmSync(staging, { recursive: true, force: true });
  }
}
