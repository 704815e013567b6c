import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const script = resolve(import.meta.dirname, '../../scripts/test.mjs');
jest.setTimeout(60_000);

let repository: string;
let minutes: string;

/** Runs the script with a program in Jest's place; `closing` is its last line. */
async function run(jest: string, ...args: string[]): Promise<{ code: number; closing: string; said: string }> {
  await writeFile(
    join(repository, 'node_modules/jest/bin/jest.js'),
    `const args = process.argv.slice(2);
     const report = (counts) => require('fs').writeFileSync(
       args.find((arg) => arg.startsWith('--outputFile=')).slice(13),
       JSON.stringify({ numPassedTests: 0, numFailedTests: 0, numRuntimeErrorTestSuites: 0, numPendingTests: 0, numTodoTests: 0, ...counts }),
     );
     ${jest}`,
  );
  // Containers are promised, so that no server is installed on the way.
  const env = { ...process.env, OCIREGISTRY_TEST_SERVICES: 'docker', OCIREGISTRY_TEST_MINUTES: minutes };
  return new Promise((resolve) => {
    const command = [join(repository, 'scripts/test.mjs'), ...args];
    execFile(process.execPath, command, { env }, (error, stdout, stderr) => {
      const closing = stdout.trimEnd().split('\n').at(-1) ?? '';
      resolve({ code: Number(error?.code ?? 0), closing, said: stderr });
    });
  });
}

beforeAll(async () => {
  repository = await mkdtemp(join(tmpdir(), 'ociregistry-test-run-'));
  await mkdir(join(repository, 'scripts'));
  await mkdir(join(repository, 'node_modules/jest/bin'), { recursive: true });
  await copyFile(script, join(repository, 'scripts/test.mjs'));
});

afterAll(() => rm(repository, { recursive: true, force: true }));

beforeEach(() => {
  minutes = '1';
});

it('closes with the counts', async () => {
  const { code, closing } = await run('report({ numPassedTests: 3 })');
  expect([code, closing]).toEqual([0, '3 passed, 0 failed']);
});

it('tells what was skipped', async () => {
  const { closing } = await run('report({ numPassedTests: 3, numPendingTests: 1, numTodoTests: 1 })');
  expect(closing).toBe('3 passed, 0 failed, 2 skipped');
});

it('counts failed tests and suites that could not be loaded', async () => {
  const counts = 'numPassedTests: 3, numFailedTests: 2, numRuntimeErrorTestSuites: 1';
  const { code, closing } = await run(`report({ ${counts} }); process.exitCode = 1`);
  expect([code, closing]).toEqual([1, '3 passed, 3 failed']);
});

it('fails when no test ran', async () => {
  const { code, said } = await run('report({})');
  expect(code).toBe(1);
  expect(said).toContain('no test ran');
});

it('fails when Jest falls over without a result', async () => {
  const { code, closing } = await run('process.exitCode = 3');
  expect([code, closing]).toEqual([1, '0 passed, 1 failed']);
});

it('fails when Jest ends badly although every test passed', async () => {
  const { code, closing } = await run('report({ numPassedTests: 3 }); process.exitCode = 1');
  expect([code, closing]).toEqual([1, '3 passed, 1 failed']);
});

it('ends a run that does not end', async () => {
  minutes = '0.01';
  const { code, closing, said } = await run('setInterval(() => {}, 1000)');
  expect([code, closing]).toEqual([1, '0 passed, 1 failed']);
  expect(said).toContain('did not end');
});

it('passes its arguments on, and takes all projects unless told', async () => {
  const show = 'process.stderr.write(args.join(" ")); report({ numPassedTests: 1 })';
  expect((await run(show, 'libs/oci')).said).toMatch(/--selectProjects unit int e2e .*libs\/oci$/);
  expect((await run(show, '--selectProjects', 'unit')).said).not.toContain('e2e');
});
