#!/usr/bin/env node
// node scripts/test.mjs [JEST ARGUMENT...]
// Runs the unit, int and e2e tests and closes with one line: `N passed, N failed`.
// A suite that cannot be loaded counts as one failure, and so does a run that does not end:
// $OCIREGISTRY_TEST_MINUTES (30) bounds the whole, half a minute the time between the last result and the exit.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import process from 'node:process';

const repository = dirname(import.meta.dirname);
const given = process.argv.slice(2);
const has = (option) => given.some((argument) => argument === option || argument.startsWith(`${option}=`));
const minutes = Number(process.env.OCIREGISTRY_TEST_MINUTES || 30);

const projects = has('--selectProjects') ? [] : ['--selectProjects', 'unit', 'int', 'e2e'];
const onlyUnits = has('--selectProjects') && !given.some((argument) => /^(int|e2e)$/.test(argument));
if (!onlyUnits && !dockerAnswers()) {
  // Here and now, so that no test's time limit pays for a build; what is missing is told again by the tests that need it.
  spawnSync(process.execPath, [join(import.meta.dirname, 'services.mjs')], { stdio: ['ignore', 'ignore', 'inherit'] });
}

const scratch = mkdtempSync(join(tmpdir(), 'ociregistry-test-'));
const report = join(scratch, 'report.json');
const jest = spawn(
  process.execPath,
  [
    join(repository, 'node_modules/jest/bin/jest.js'),
    ...projects,
    ...(has('--maxWorkers') || has('--runInBand') || has('-i') ? [] : ['--maxWorkers=2']),
    ...(process.env.CI ? ['--ci'] : []),
    // A busy machine is no failure: Jest's own 5 s are for one that does nothing else.
    ...(has('--testTimeout') ? [] : ['--testTimeout=60000']),
    '--json',
    `--outputFile=${report}`,
    ...given,
  ],
  { cwd: repository, stdio: ['ignore', 'ignore', 'inherit'] },
);

let hang;
const kill = (reason) => {
  hang ??= reason;
  jest.kill('SIGKILL');
};
const overall = setTimeout(() => kill(`the tests did not end within ${minutes} minutes`), minutes * 60_000);
let lingering;
const watch = setInterval(() => {
  if (lingering || !existsSync(report)) return;
  lingering = setTimeout(() => kill('jest did not exit after the last test: a test left something open'), 30_000);
}, 500);
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => jest.kill(signal));

jest.on('close', (code, signal) => {
  clearTimeout(overall);
  clearTimeout(lingering);
  clearInterval(watch);
  const counts = read();
  rmSync(scratch, { recursive: true, force: true });
  if (hang) process.stderr.write(`test: ${hang}\n`);
  const ended = code === 0 || (code === 1 && counts.failed > 0);
  if (!ended && !hang) process.stderr.write(`test: jest ended with ${signal ?? code}\n`);
  if (counts.passed + counts.failed === 0) process.stderr.write('test: no test ran\n');
  const failed = counts.failed + (ended ? 0 : 1);
  const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : '';
  process.stdout.write(`${counts.passed} passed, ${failed} failed${skipped}\n`);
  process.exitCode = failed > 0 || counts.passed === 0 ? 1 : 0;
});

function read() {
  try {
    const result = JSON.parse(readFileSync(report, 'utf8'));
    return {
      passed: result.numPassedTests,
      failed: result.numFailedTests + result.numRuntimeErrorTestSuites,
      skipped: result.numPendingTests + result.numTodoTests,
    };
  } catch {
    return { passed: 0, failed: 0, skipped: 0 };
  }
}

function dockerAnswers() {
  const forced = process.env.OCIREGISTRY_TEST_SERVICES;
  if (forced) return forced === 'docker';
  return spawnSync('docker', ['version', '--format', '{{.Server.Version}}'], { timeout: 5_000 }).status === 0;
}
