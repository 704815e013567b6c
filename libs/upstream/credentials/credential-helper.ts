import { spawn } from 'node:child_process';
import { upstreamFailure } from '../failures.js';
import type { Credentials } from '../options.js';

const TIMEOUT = 15_000;
const MAX_OUTPUT = 256 * 1024;
/** What helpers say (on stdout, with exit code 1) when they know nothing; docker/docker-credential-helpers. */
const NOTHING = /credentials not found/i;

/**
 * Asks `docker-credential-<name> get` about a server. Undefined when it has nothing. Rejects DENIED when it fails; what it
 * printed goes nowhere, since it may hold a secret.
 */
export async function askHelper(name: string, server: string): Promise<Credentials | undefined> {
  const { code, output } = await run(`docker-credential-${name}`, server).catch((cause) => {
    throw failed(name, cause);
  });
  if (code !== 0) {
    if (NOTHING.test(output)) return undefined;
    throw failed(name, `exit code ${code}`);
  }
  const { Username: user, Secret: secret } = fieldsOf(output);
  if (typeof user !== 'string' || typeof secret !== 'string' || secret === '') throw failed(name, 'not an answer');
  return user === '<token>' ? { identityToken: secret } : { user, password: secret };
}

function run(command: string, input: string): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, ['get'], {
      env: process.env,
      stdio: ['pipe', 'pipe', 'ignore'],
      signal: AbortSignal.timeout(TIMEOUT),
      killSignal: 'SIGKILL',
    });
    const chunks: Buffer[] = [];
    let length = 0;
    child.stdout.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      length += chunk.length;
      if (length > MAX_OUTPUT) child.kill('SIGKILL');
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, output: Buffer.concat(chunks).toString('utf8') }));
    child.stdin.on('error', () => {});
    child.stdin.end(`${server(input)}\n`);
  });
}

/** One line, whatever the host is called. */
function server(name: string): string {
  return name.replace(/\s/g, '');
}

function fieldsOf(output: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(output));
  } catch {
    return {};
  }
}

function failed(name: string, cause: unknown) {
  return upstreamFailure('DENIED', `no credentials for the upstream registry: the credential helper ${name} failed`, {
    cause,
  });
}
