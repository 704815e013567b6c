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
let ingest;
const write = async (digest, end) => {
  ingest = await store.ingest(digest, { size });
  for (let at = 0; at < end; at += piece.length) await ingest.write(at, piece.fill((at / piece.length) % 251));
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
  await write(digest, size);
  await ingest.commit();
  await ingest.release();
  // Node makes a buffer per piece of an HTTP body; what waits for the collector is not what is held.
  let pieces = 0;
  const sink = () => new Promise((resolve) => { if (pieces++ % 128 === 0) gc(); setImmediate(resolve); });
  await store.read(digest, { offset: 0, length: size }, { write: sink });
  clearInterval(timer);
  console.log('growth ' + (peak - before));
  await store.close();
} else if (wanted === 'fill') {
  const failure = await write('sha256:' + '0'.repeat(64), size).then(() => ({}), (error) => error);
  const { reason, origin, message, cause } = failure;
  await ingest.release();
  const small = createHash('sha256').update('small').digest('hex');
  ingest = await store.ingest('sha256:' + small);
  await ingest.write(0, Buffer.from('small'));
  const after = await ingest.commit().then(() => 'committed', String);
  console.log('failed ' + JSON.stringify({ reason, origin, message, code: cause?.code, after }));
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
  /** Bytes of resident memory that writing and reading the whole blob added at most, garbage of bodies aside. */
  readonly growth: Promise<number>;
  /** How writing failed, and how a small blob fared after it. */
  readonly failed: Promise<object>;
}

/**
 * Starts a process of its own that writes a blob of `size` bytes; `measure` instead of a digest for one that finishes,
 * `fill` for one that runs out of disk. `wrapper` is put before the command.
 */
export function startWriter(expression: string, digest: string, size: number, wrapper: string[] = []): Writer {
  const built = build();
  const program = [process.execPath, '--expose-gc', path.join(built, 'program.js')];
  const [command, ...args] = [...wrapper, ...program, expression, digest, String(size)];
  const child = spawn(command!, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const halfway = new Deferred();
  const growth = new Deferred<number>();
  const failed = new Deferred<object>();
  createInterface({ input: child.stdout! }).on('line', (line) => {
    const [, word, value] = /^(\w+) ?(.*)$/.exec(line)!;
    if (word === 'halfway') halfway.resolve();
    else if (word === 'growth') growth.resolve(Number(value));
    else failed.resolve(JSON.parse(value!));
  });
  child.once('exit', (code, signal) => {
    rmSync(built, { recursive: true, force: true });
    const early = new Error(`the writer ended with ${code ?? signal}`);
    halfway.reject(early);
    growth.reject(early);
    failed.reject(early);
  });
  return { child, halfway: halfway.promise, growth: growth.promise, failed: failed.promise };
}

/** Today's sources as JavaScript; inside the repository, so that packages are found. */
function build(): string {
  const root = path.resolve(import.meta.dirname, '../..');
  mkdirSync(path.join(root, '.cache'), { recursive: true });
  const to = mkdtempSync(path.join(root, '.cache/blobs-writer-'));
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
