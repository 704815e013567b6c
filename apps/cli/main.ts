#!/usr/bin/env node
import { keepYoungSpaceSmall } from './young-space.js';

keepYoungSpaceSmall();
const { run } = await import('./program.js');

// A reader that has seen enough (`config schema | head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

const code = await run(process.argv.slice(2), {
  env: process.env,
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  terminal: process.stderr,
  input: process.stdin,
  signals: process,
  exit: (status) => process.exit(status),
});
// Text for a pipe may still wait; what is left open after a stop that took too long must not hold the process.
process.stdout.write('', () => process.exit(code));
