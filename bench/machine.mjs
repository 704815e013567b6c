import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem, type } from 'node:os';
import { delimiter, join } from 'node:path';
import process from 'node:process';

/** Debian's packages by the command that a bench needs. */
const PACKAGES = { wrk: 'wrk', nginx: 'nginx-light', 'docker-registry': 'docker-registry', cc: 'gcc libc6-dev' };

/** Paths of the commands. Throws an Error that says what to install. */
export function requireCommands(names) {
  // A user's PATH often lacks the sbin folders, where Debian puts nginx.
  process.env.PATH = [process.env.PATH, '/usr/local/sbin', '/usr/sbin', '/sbin'].join(delimiter);
  const missing = names.filter((name) => spawnSync('sh', ['-c', `command -v ${name}`]).status !== 0);
  if (missing.length === 0) return;
  const packages = missing.map((name) => PACKAGES[name]).join(' ');
  throw new Error(`not found: ${missing.join(', ')}. On Debian: apt-get install --no-install-recommends ${packages}`);
}

/** What a figure depends on. */
export function describeMachine() {
  const cores = cpus();
  return {
    cpu: cores[0]?.model.trim() ?? 'unknown',
    cores: cores.length,
    memoryBytes: totalmem(),
    system: `${type()} ${release()}`,
    node: process.version,
    loadAverageBefore: Number(loadavg()[0].toFixed(2)),
  };
}

export function versions() {
  const first = (command, args, pattern) => {
    const { stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
    return pattern.exec(`${stdout}${stderr}`)?.[1] ?? 'unknown';
  };
  return {
    'docker-registry': first('docker-registry', ['--version'], /(\S+)\s*$/),
    nginx: first('nginx', ['-v'], /nginx\/(\S+)/),
    wrk: first('wrk', ['-v'], /wrk (?:debian\/)?(\S+)/),
  };
}

/** The commit that is measured, with `+` when the tree differs from it. */
export function commit(folder) {
  const git = (...args) => spawnSync('git', ['-C', folder, ...args], { encoding: 'utf8' }).stdout.trim();
  const changed = git('status', '--porcelain', '--untracked-files=no', '--', 'apps', 'libs', 'package.json') !== '';
  return `${git('rev-parse', '--short', 'HEAD') || 'unknown'}${changed ? '+' : ''}`;
}

/** CPU seconds that all cores were busy since boot. */
export function busySeconds() {
  const [user, nice, system, , , irq, softirq, steal] = readFileSync(join('/proc', 'stat'), 'utf8')
    .split('\n')[0]
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return (user + nice + system + irq + softirq + steal) / 100;
}
