import { spawn } from 'node:child_process';
import { join } from 'node:path';

const MAIN = join(__dirname, '../../dist/apps/cli/main.js');

export interface CommandResult {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string | Buffer;
  /** A command that runs it, as its last arguments. */
  readonly within?: readonly string[];
  /** Sent a signal as soon as this stands in what it printed. */
  readonly interruptAt?: RegExp;
  /** Sent a signal when this resolves. */
  readonly interruptAfter?: () => Promise<unknown>;
}

/** Runs `ociregistry`, built, to its end; not on a terminal. */
export function ociregistry(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const [program, ...words] = [...(options.within ?? []), process.execPath, MAIN, ...args];
    const child = spawn(program!, words, { env: { ...process.env, ...options.env } });
    const text = { out: '', err: '' };
    const keep = (name: keyof typeof text) => (chunk: Buffer) => {
      text[name] += chunk;
      if (options.interruptAt?.test(text[name])) child.kill('SIGINT');
    };
    child.stdout.on('data', keep('out'));
    child.stderr.on('data', keep('err'));
    options.interruptAfter?.().then(() => child.kill('SIGINT'), reject);
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, ...text }));
    child.stdin.on('error', () => {});
    child.stdin.end(options.input ?? '');
  });
}

/** The same on a terminal: `keys` are typed when `at` stands in what it printed. Both streams are the terminal's. */
export function ociregistryOnTerminal(
  args: readonly string[],
  { at, keys }: { readonly at: RegExp; readonly keys: string },
): Promise<{ readonly code: number | null; readonly shown: string }> {
  return new Promise((resolve, reject) => {
    const command = [process.execPath, MAIN, ...args].map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
    // Of util-linux, which is on every Linux: a terminal of its own around a command, fed from our pipe.
    const child = spawn('script', ['--quiet', '--return', '--command', command, '/dev/null']);
    let shown = '';
    let typed = false;
    child.stdout.on('data', (chunk: Buffer) => {
      shown += chunk;
      if (typed || !at.test(shown)) return;
      typed = true;
      child.stdin.write(keys);
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, shown }));
    child.stdin.on('error', () => {});
  });
}
