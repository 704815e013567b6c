import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** What a registry holds that the suite cannot push to. */
export interface Content {
  readonly tags: readonly string[];
  readonly manifests: readonly string[];
  readonly blobs: readonly string[];
  /** Subjects that something refers to. */
  readonly referrers: readonly string[];
}

export interface Outcome {
  /** Of all its tests. */
  readonly result: string;
  /** `Pass`, `FAIL`, `Skip`, `Disabled`, `Unknown` (not asked), by what the suite calls its APIs and kinds of data. */
  readonly parts: Readonly<Record<string, string>>;
  readonly output: string;
}

const LIMIT_MS = 180_000;

/** Removing is no part of pulling; how a test's upstream does it is not looked at. */
const NO_REMOVAL = {
  OCI_API_BLOBS_DELETE: 'false',
  OCI_API_MANIFESTS_DELETE: 'false',
  OCI_API_TAGS_DELETE: 'false',
};

/** Runs the official suite against `registry` (`http://host:port`): with content of its own, or with what is there. */
export async function runSuite(
  program: string,
  registry: string,
  repository: string,
  content?: Content,
): Promise<Outcome> {
  const directory = await mkdtemp(join(tmpdir(), 'ociregistry-conformance-'));
  const given = Object.entries(content ?? {}).map(([name, of]) => [`OCI_RO_DATA_${name.toUpperCase()}`, of.join(' ')]);
  const env = {
    PATH: process.env.PATH,
    OCI_VERSION: '1.1',
    OCI_REGISTRY: new URL(registry).host,
    OCI_TLS: 'disabled',
    OCI_REPO1: repository,
    OCI_REPO2: `${repository}-2`,
    OCI_RESULTS_DIR: directory,
    ...NO_REMOVAL,
    ...(content ? { OCI_API_PUSH: 'false' } : { OCI_API_MANIFESTS_DIGEST_HEADER: 'true' }),
    OCI_API_BLOBS_DIGEST_HEADER: 'true',
    ...Object.fromEntries(given),
  };
  try {
    const ran = promisify(execFile)(program, [], { cwd: directory, env, timeout: LIMIT_MS, maxBuffer: 64 << 20 });
    // Its exit code says less than its report: after a read-only run it stumbles over a report file of its own.
    const output = await ran.catch((error: { stdout: string; stderr: string }) => error);
    return read(`${output.stdout}\n${output.stderr}`);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function read(output: string): Outcome {
  const result = /^OCI Conformance Result: (\S+)/m.exec(output)?.[1];
  if (result === undefined) throw new Error(`the suite did not come to its end:\n${output.slice(-4000)}`);
  const tables = output.slice(output.indexOf('API conformance:'));
  const lines = tables.matchAll(/^ {2}(\w[^.\n]*)\.+: *(\S+)$/gm);
  return { result, parts: Object.fromEntries([...lines].map(([, name, status]) => [name, status])), output };
}
