import { spawnSync } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from './program.js';

async function script(shell: string): Promise<string> {
  let text = '';
  const out = (more: string) => {
    text += more;
  };
  const around = { env: {}, out, err: out, signals: new EventEmitter(), exit: () => {} };
  expect(await run(['completion', shell], around)).toBe(0);
  return text;
}

function has(shell: string): boolean {
  return spawnSync(shell, ['-c', 'exit 0']).status === 0;
}

/** What a shell offers for the last word of a line. */
const SHELLS: Record<string, (text: string, line: string) => string[]> = {
  bash(text, line) {
    const words = line.split(' ');
    const program = `${text}\nCOMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _ociregistry; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return offered(spawnSync('bash', ['--norc', '-c', program], { encoding: 'utf8' }));
  },
  fish(text, line) {
    const program = `${text}\ncd /proc/self/fdinfo\ncomplete -C '${line}'`;
    return offered(spawnSync('fish', ['--no-config', '-c', program], { encoding: 'utf8' }));
  },
};

function offered({ stdout, stderr }: { stdout: string; stderr: string }): string[] {
  expect(stderr).toBe('');
  const found = stdout.split('\n').map((entry) => entry.split('\t')[0]!);
  return [...new Set(found.filter((entry) => entry !== ''))].sort();
}

describe.each(Object.keys(SHELLS).filter(has))('completion in %s', (shell) => {
  let text: string;
  beforeAll(async () => {
    text = await script(shell);
  });
  const complete = (line: string) => SHELLS[shell]!(text, line);

  it.each<[string, string[]]>([
    ['ociregistry st', ['status']],
    ['ociregistry --log-level debug expl', ['explain']],
    ['ociregistry config ', ['check', 'help', 'schema']],
    ['ociregistry config ch', ['check']],
    ['ociregistry completion ', ['bash', 'fish', 'zsh']],
    ['ociregistry serve --role ', ['admin', 'all', 'gateway', 'puller']],
    ['ociregistry --config-file status status --output ', ['json', 'table', 'wide', 'yaml']],
    ['ociregistry status -o j', ['json']],
    ['ociregistry serve --air-gapped --ro', ['--role']],
    ['ociregistry load --res', ['--resolve-ref']],
    ['ociregistry load --config-f', ['--config-file']],
  ])('%j', (line, offers) => {
    expect(complete(line)).toEqual(offers);
  });

  it('knows every command', async () => {
    for (const name of ['serve', 'load', 'export', 'status', 'explain', 'version', 'config', 'completion'])
      expect(complete('ociregistry ')).toContain(name);
  });
});

it.each(['bash', 'zsh', 'fish'].filter(has))('%s reads its script', async (shell) => {
  const directory = mkdtempSync(join(tmpdir(), 'completion-'));
  try {
    writeFileSync(join(directory, 'script'), await script(shell));
    const { status, stderr } = spawnSync(shell, ['-n', join(directory, 'script')], { encoding: 'utf8' });
    expect([status, stderr]).toEqual([0, '']);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

it('is refused for another shell', async () => {
  let err = '';
  const around = {
    env: {},
    out: () => {},
    err: (text: string) => {
      err += text;
    },
    signals: new EventEmitter(),
    exit: () => {},
  };
  expect(await run(['completion', 'tcsh'], around)).toBe(2);
  expect(err).toContain('Allowed choices are bash, zsh, fish');
});
