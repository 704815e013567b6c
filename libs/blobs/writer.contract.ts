import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { transformSync } from '@swc/core';
import { Deferred } from '#async';

/** What the child runs: EXPRESSION DIGEST SIZE. */
const PROGRAM = `
import { createHash } from 'node:crypto';
import * as adapters from './libs/blobs/adapters.js';
const [, , expression, wanted, length] = process.argv;
const size = Number(length);
const store = new Function('adapters', 'return ' + expression)(adapters);
const piece = Buffer.alloc(65536);
const write = async (digest, end) => {
  const ingest = await store.ingest(digest, { size });
  for (let at = 0; at < end; at += piece.length) await ingest.write(at, piece.fill((at / piece.length) % 251));
  return ingest;
};
if (wanted === 'measure') {
  const hash = createHash('sha256');
  for (let at = 0; at < size; at += piece.length) hash.update(piece.fill((at / piece.length) % 251));
  const digest = 'sha256:' + hash.digest('hex');
  await store.ping();
  gc();
  const before = process.memoryUsage.rss();
  let peak = before;
  const timer = setInterval(() => { peak = Math.max(peak, process.memoryUsage.rss()); }, 5);
  const ingest = await write(digest, size);
  await ingest.commit();
  await ingest.release();
  await store.read(digest, { offset: 0, length: size }, { write: () => new Promise(setImmediate) });
  clearInterval(timer);
  console.log('growth ' + (peak - before));
  await store.close();
} else {
  await write(wanted, size * 0.9);
  console.log('halfway');
  setInterval(() => {}, 1000);
}
`;

export interface Writer {
  readonly child: ChildProcess;
  /** Nine tenths are written, nothing is committed, and the process idles. */
  readonly halfway: Promise<void>;
  /** Bytes of resident memory that writing and reading the whole blob added at most. */
  readonly growth: Promise<number>;
}

/** Starts a process of its own that writes a blob of `size` bytes; `measure` for one that finishes. */
export function startWriter(expression: string, digest: string, size: number): Writer {
  built ??= build();
  const args = ['--expose-gc', path.join(built, 'program.js'), expression, digest, String(size)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const halfway = new Deferred();
  const growth = new Deferred<number>();
  createInterface({ input: child.stdout! }).on('line', (line) => {
    const [word, value] = line.split(' ');
    if (word === 'halfway') halfway.resolve();
    else growth.resolve(Number(value));
  });
  child.once('exit', (code, signal) => {
    const early = new Error(`the writer ended with ${code ?? signal}`);
    halfway.reject(early);
    growth.reject(early);
  });
  return { child, halfway: halfway.promise, growth: growth.promise };
}

let built: string | undefined;

/** Today's sources as JavaScript; inside the repository, so that packages are found. */
function build(): string {
  const root = path.resolve(import.meta.dirname, '../..');
  mkdirSync(path.join(root, '.cache'), { recursive: true });
  const to = mkdtempSync(path.join(root, '.cache/blobs-writer-'));
  process.once('exit', () => rmSync(to, { recursive: true, force: true }));
  for (const library of ['oci', 'async', 'blobs']) {
    for (const entry of readdirSync(path.join(root, 'libs', library), { recursive: true, encoding: 'utf8' })) {
      if (!entry.endsWith('.ts') || /\.(spec|contract)\.ts$/.test(entry)) continue;
      const source = readFileSync(path.join(root, 'libs', library, entry), 'utf8');
      const { code } = transformSync(source, { jsc: { parser: { syntax: 'typescript' }, target: 'es2022' } });
      const file = path.join(to, 'libs', library, entry.replace(/\.ts$/, '.js'));
      mkdirSync(path.dirname(file), { recursive: true });
      writeFileSync(file, code);
    }
  }
  const imports = { '#oci': './libs/oci/index.js', '#async': './libs/async/index.js' };
  writeFileSync(path.join(to, 'package.json'), JSON.stringify({ type: 'module', imports }));
  writeFileSync(path.join(to, 'program.js'), PROGRAM);
  return to;
}
