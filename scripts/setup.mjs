#!/usr/bin/env node
// Makes a clone runnable: right Node, dependencies as locked, sources built. Says nothing when all is in place.
// Runs before there are dependencies, so it uses Node alone.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const repository = dirname(dirname(fileURLToPath(import.meta.url)));
const inside = (...parts) => join(repository, ...parts);

const [major, minor] = process.versions.node.split('.').map(Number);
if (!((major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major > 22)) {
  fail(`Node ${process.versions.node} is not supported: use Node 20.19 or newer, 22.12 or newer, or 24`);
}
if (!dependenciesMatchLock()) {
  process.stderr.write('setup: installing the dependencies (npm ci)\n');
  if (!npm(['ci', '--no-audit', '--no-fund'], [0, 2, 2])) fail('npm ci failed');
}
if (!buildIsCurrent()) {
  process.stderr.write('setup: building (npm run build)\n');
  if (!npm(['run', 'build', '--silent'], [0, 2, 2])) fail('the build failed');
}

function fail(reason) {
  process.stderr.write(`setup: ${reason}\n`);
  process.exit(1);
}

function npm(args, stdio) {
  const running = process.env.npm_execpath ?? '';
  const [command, first] = basename(running) === 'npm-cli.js' ? [process.execPath, [running]] : ['npm', []];
  return spawnSync(command, [...first, ...args], { cwd: repository, stdio }).status === 0;
}

/** npm writes what it installed into node_modules/.package-lock.json; optional parts may be missing there. */
function dependenciesMatchLock() {
  const installedLock = inside('node_modules', '.package-lock.json');
  if (!existsSync(installedLock)) return false;
  const wanted = JSON.parse(readFileSync(inside('package-lock.json'), 'utf8')).packages;
  const installed = JSON.parse(readFileSync(installedLock, 'utf8')).packages;
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '' || entry.link) return true;
    const present = installed[path];
    return present ? present.version === entry.version : Boolean(entry.optional || entry.devOptional);
  });
}

/** Whether every compiled file is newer than every source, file or folder (a removed file shows in its folder). */
function buildIsCurrent() {
  if (!existsSync(inside('dist'))) return false;
  const compiled = times(inside('dist'), (name) => name.endsWith('.js'));
  const sources = ['apps', 'libs'].flatMap((name) => times(inside(name), () => true, true));
  const settings = ['package.json', '.swcrc'].map((name) => statSync(inside(name)).mtimeMs);
  return compiled.length > 0 && Math.min(...compiled) > Math.max(...sources, ...settings);
}

function times(folder, wanted, withFolders = false) {
  const found = withFolders ? [statSync(folder).mtimeMs] : [];
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      if (entry.name !== 'node_modules') found.push(...times(path, wanted, withFolders));
    } else if (wanted(entry.name)) {
      found.push(statSync(path).mtimeMs);
    }
  }
  return found;
}
