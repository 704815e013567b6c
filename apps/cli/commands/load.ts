import { createReadStream } from 'node:fs';
import { open, readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { packDirectory, tarStream } from '#archive';
import type { ImportReport, PreloadJob } from '#registry';
import { type AdminApi, CommandFailure } from '../api.js';
import { LayerBars } from '../layer-bars.js';
import { formatted, type OutputFormat } from '../output.js';
import { openProgress, type Progress } from '../progress.js';
import type { Surroundings } from '../serve.js';
import { bytesText } from '../text.js';
import { importLocally } from './local-import.js';

export interface LoadOptions {
  /** Archives, directories, `-` for stdin, or references. */
  readonly sources: readonly string[];
  /** A list, or (as the Go server has it) an archive. */
  readonly imageFile?: string;
  readonly platforms: readonly string[];
  readonly resolveRef?: string;
  readonly output: OutputFormat;
}

/** An image as scripts are told of it. */
interface Told {
  readonly reference: string;
  readonly outcome: 'loaded' | 'failed';
  readonly digest?: string | undefined;
  readonly bytes?: number;
  readonly problem?: string;
}

/** What a command works with. */
interface Work {
  readonly api: AdminApi;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  /** `line` is for people. */
  tell(image: Told, line: string): void;
}

const POLL_MS = 300;
const MAX_LIST = 1_000_000;
/** Longer than a list line before it ends, shorter than any archive. */
const SNIFF = 512;
const ARCHIVE_NAME = /\.(tar|tgz|gz|zst|tzst)$|^\.{0,2}\/|^~/;

/** Loads what is named, one after the other; 1 when anything of it failed, which is told on stderr and in what scripts are told. */
export async function loadCommand(
  { sources, imageFile, platforms, resolveRef, output }: LoadOptions,
  api: AdminApi,
  around: Surroundings,
  signal: AbortSignal,
): Promise<number> {
  const progress = openProgress(around.terminal, around.err);
  const forPeople = output === 'table' || output === 'wide';
  const told: Told[] = [];
  const tell = (image: Told, line: string) => {
    told.push(image);
    if (image.outcome === 'failed') progress.line(line);
    else if (forPeople) around.out(`${line}\n`);
  };
  const work: Work = { api, progress, signal, tell };
  let failed = 0;
  try {
    const lists: string[] = [];
    const archives: string[] = [];
    for (const source of imageFile === undefined ? sources : [imageFile, ...sources]) {
      if (source === '-') archives.push(source);
      else if (source !== imageFile && !(await exists(source))) lists.push(reference(source));
      else if (await isArchive(source)) archives.push(source);
      else lists.push(await listOf(source));
    }
    if (resolveRef !== undefined && archives.length !== 1)
      throw new CommandFailure('--resolve-ref names the image of one archive; give exactly one');
    for (const archive of archives) failed += await loadArchive(archive, { platforms, resolveRef }, work);
    if (lists.length > 0) failed += await loadList(lists.join('\n'), platforms, work);
  } finally {
    progress.stop();
    if (!forPeople) around.out(formatted(told, output, () => ''));
  }
  return failed > 0 ? 1 : 0;
}

/** How many images failed. */
async function loadArchive(
  path: string,
  { platforms, resolveRef }: Pick<LoadOptions, 'platforms' | 'resolveRef'>,
  { api, progress, signal, tell }: Work,
): Promise<number> {
  const name = path === '-' ? 'standard input' : basename(path);
  const query = { name: resolveRef, platform: platforms };
  const { size, directory } = path === '-' ? { size: 0, directory: false } : await measured(path);
  const show = (done: number) => progress.show(name, done, size);
  let report: ImportReport;
  try {
    report =
      (path === '-' ? undefined : await importLocally(path, api, query, show, signal)) ??
      (await send(openArchive(path, directory), api, query, show, signal));
  } catch (error) {
    signal.throwIfAborted();
    throw new CommandFailure(`${name}: ${(error as Error).message}`);
  }
  show(size);
  for (const { reference, outcome, problem = '', digest, bytes } of report.images) {
    if (outcome === 'failed') tell({ reference, outcome, problem }, `${name}: ${reference}: ${problem}`);
    else tell({ reference, outcome, digest, bytes }, `${reference} ${digest} ${bytesText(bytes)}`);
  }
  return report.images.filter(({ outcome }) => outcome === 'failed').length;
}

async function send(
  stream: Readable,
  api: AdminApi,
  query: Readonly<Record<string, string | readonly string[] | undefined>>,
  show: (done: number) => void,
  signal: AbortSignal,
): Promise<ImportReport> {
  let sent = 0;
  const counted = stream.pipe(
    new Transform({
      transform(chunk: Buffer, _, done) {
        sent += chunk.length;
        show(sent);
        done(null, chunk);
      },
    }),
  );
  stream.on('error', (error) => counted.destroy(error));
  try {
    return await api.upload<ImportReport>('/import', counted, 'application/x-tar', { query, signal });
  } finally {
    stream.destroy();
  }
}

/** Bytes; of a directory they are not known beforehand. */
async function measured(path: string): Promise<{ size: number; directory: boolean }> {
  const stats = await stat(path);
  return stats.isDirectory() ? { size: 0, directory: true } : { size: stats.size, directory: false };
}

function openArchive(path: string, directory: boolean): Readable {
  if (path === '-') return process.stdin;
  return directory ? tarStream(packDirectory(path)) : createReadStream(path, { highWaterMark: 256 * 1024 });
}

/** How many images failed. When interrupted, what was not begun is not begun. */
async function loadList(
  list: string,
  platforms: readonly string[],
  { api, progress, signal, tell }: Work,
): Promise<number> {
  let job = await api.json<PreloadJob>('POST', '/preload', { body: { images: list, platforms }, signal });
  const told = new Set<number>();
  const layers = new LayerBars(api, progress);
  try {
    for (;;) {
      for (const [index, image] of job.images.entries()) {
        const { reference: name, state, digest, objectsDone, pulled, bytes, bytesDone, matches, failure } = image;
        if (state === 'running') progress.show(name, bytesDone, bytes);
        if (state === 'queued' || state === 'running' || told.has(index)) continue;
        told.add(index);
        if (bytes > 0) progress.show(name, bytes, bytes);
        const problem = failure?.message ?? state;
        const news = `${name} ${digest} ${bytesText(bytes)} (${pulled} of ${objectsDone} objects were new)`;
        if (state !== 'done') tell({ reference: name, outcome: 'failed', problem }, `${name}: ${problem}`);
        else if (matches !== undefined) progress.line(`${name}: ${matches} tags`);
        else tell({ reference: name, outcome: 'loaded', digest, bytes }, news);
      }
      if (job.state !== 'running') break;
      await layers.update(job, signal);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      job = await api.json<PreloadJob>('GET', `/preload/${job.id}`, { signal });
    }
  } catch (error) {
    if (signal.aborted) await api.json('DELETE', `/preload/${job.id}`).catch(() => {});
    throw error;
  }
  const failed = job.images.filter(({ state }) => state !== 'done').length;
  if (failed > 0) progress.line(`ociregistry: ${failed} of ${job.images.length} images failed`);
  return failed;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

function reference(text: string): string {
  if (ARCHIVE_NAME.test(text)) throw new CommandFailure(`${text}: no such file or directory`);
  return text;
}

/** By its bytes, not by its name. */
async function isArchive(path: string): Promise<boolean> {
  const file = await open(path).catch((error: NodeJS.ErrnoException) => {
    throw new CommandFailure(`${path}: ${error.code === 'ENOENT' ? 'no such file or directory' : error.message}`);
  });
  try {
    if ((await file.stat()).isDirectory()) return true;
    const { buffer, bytesRead } = await file.read(Buffer.alloc(SNIFF), 0, SNIFF, 0);
    const head = buffer.subarray(0, bytesRead);
    // A tar has NULs in its header, gzip and zstd in their first bytes or close; no list has any.
    return (
      (head[0] === 0x1f && head[1] === 0x8b) ||
      head.includes(0) ||
      (bytesRead > 3 && head.readUInt32LE(0) === 0xfd2fb528)
    );
  } finally {
    await file.close();
  }
}

async function listOf(path: string): Promise<string> {
  if ((await stat(path)).size > MAX_LIST)
    throw new CommandFailure(`${path}: larger than any list of images, and no archive`);
  return readFile(path, 'utf8');
}
