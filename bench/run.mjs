#!/usr/bin/env node
// npm run bench -- NAME [--rounds N] [--seconds N]: measures us beside a peer and writes bench/results/NAME.json.
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { coldHerd } from './cold-herd.mjs';
import { coldImage } from './cold-image.mjs';
import { coldMany } from './cold-many.mjs';
import { coldSingle } from './cold-single.mjs';
import { coldThrottled } from './cold-throttled.mjs';
import { Content } from './content.mjs';
import { writeTables } from './document.mjs';
import { load } from './load.mjs';
import { commit, describeMachine, requireCommands, versions } from './machine.mjs';
import { stopAll } from './processes.mjs';
import { pruneUnderLoad } from './prune-under-load.mjs';
import { readers1000 } from './readers-1000.mjs';
import { tables } from './report.mjs';
import { revalidate } from './revalidate.mjs';
import { s3Proxy } from './s3-proxy.mjs';
import { scale } from './scale.mjs';
import { start } from './start.mjs';
import { tokens } from './tokens.mjs';
import { walk } from './walk.mjs';
import { warmBlobLarge } from './warm-blob-large.mjs';
import { warmBlobSmall } from './warm-blob-small.mjs';
import { warmManifest } from './warm-manifest.mjs';
import { warmP99 } from './warm-p99.mjs';

const BENCHES = {
  'warm-manifest': warmManifest,
  'warm-blob-small': warmBlobSmall,
  'warm-blob-large': warmBlobLarge,
  'warm-p99': warmP99,
  's3-proxy': s3Proxy,
  start,
  walk,
  'cold-single': coldSingle,
  'cold-herd': coldHerd,
  'cold-throttled': coldThrottled,
  'cold-image': coldImage,
  'readers-1000': readers1000,
  revalidate,
  tokens,
  load,
  'cold-many': coldMany,
  scale,
  'prune-under-load': pruneUnderLoad,
};
const results = fileURLToPath(new URL('results', import.meta.url));
const repository = fileURLToPath(new URL('..', import.meta.url));
const document = fileURLToPath(new URL('../docs/benchmarks.md', import.meta.url));

const USAGE = `usage: npm run bench -- NAME... [--rounds N] [--seconds N] [--peers-only]
  NAME          ${Object.keys(BENCHES).join(', ')}
  --rounds      how often each server has its turn (5)
  --seconds     length of a turn (5)
  --peers-only  measure the peers alone; writes no result
`;

function fail(code, text) {
  process.stderr.write(text.endsWith('\n') ? text : `${text}\n`);
  process.exit(code);
}

function readArguments() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        rounds: { type: 'string', default: '5' },
        seconds: { type: 'string', default: '5' },
        'peers-only': { type: 'boolean', default: false },
      },
    });
    const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)];
    const known = positionals.every((name) => Object.hasOwn(BENCHES, name));
    if (positionals.length === 0 || !known || !(rounds >= 1) || !(seconds >= 1)) throw new Error('');
    const settings = {
      rounds: Math.floor(rounds),
      seconds: Math.floor(seconds),
      warmUpSeconds: 2,
      ours: !values['peers-only'],
    };
    return { names: positionals, settings };
  } catch (error) {
    return fail(2, `${error.message ? `${error.message}\n` : ''}${USAGE}`);
  }
}

async function runOne(name, settings) {
  const bench = BENCHES[name];
  requireCommands(['docker-registry', 'nginx', ...bench.commands]);
  const folder = mkdtempSync(join(tmpdir(), 'ociregistry-bench-'));
  // nginx's workers, and the server's own PostgreSQL, run as other users when this is root.
  chmodSync(folder, 0o755);
  const clean = () => rmSync(folder, { recursive: true, force: true });
  const interrupted = () => stopAll().then(() => process.exit(130));
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted).once('exit', clean);
  const say = (text) => process.stderr.write(`${name}: ${text}\n`);
  try {
    const machine = describeMachine();
    const measuredCommit = commit(repository);
    const measured = await bench.run({ folder, content: new Content(folder), settings, say });
    const result = {
      name,
      date: new Date().toISOString(),
      commit: measuredCommit,
      machine,
      versions: versions(),
      settings: { ...settings, clients: bench.clients },
      unit: bench.unit,
      ...measured,
    };
    process.stdout.write(`\n${tables(result)}\n`);
    if (!settings.ours) return;
    mkdirSync(results, { recursive: true });
    writeFileSync(join(results, `${name}.json`), `${JSON.stringify(result, null, 1)}\n`);
    writeTables(results, document);
  } finally {
    clean();
    process.off('SIGINT', interrupted).off('SIGTERM', interrupted).off('exit', clean);
  }
}

const { names, settings } = readArguments();
for (const name of names) {
  try {
    await runOne(name, settings);
  } catch (error) {
    fail(1, `${name}: ${error.message}`);
  }
}
