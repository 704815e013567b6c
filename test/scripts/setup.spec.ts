import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';

const script = resolve(import.meta.dirname, '../../scripts/setup.mjs');
jest.setTimeout(60_000);

let repository: string;

async function write(path: string, content: unknown, time = 1_000): Promise<void> {
  const file = join(repository, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content));
  await utimes(file, time, time);
}

async function settle(...folders: string[]): Promise<void> {
  for (const folder of folders) await utimes(join(repository, folder), 1_000, 1_000);
}

/** What the script asked npm for, one command a line, and what it said. */
async function setup(npmExit = 0): Promise<{ asked: string; said: string }> {
  const log = join(repository, 'npm.log');
  const npm = `require('fs').appendFileSync(${JSON.stringify(log)}, process.argv.slice(2).join(' ') + '\\n'); process.exit(${npmExit});`;
  await write('npm/npm-cli.js', npm);
  const env = { ...process.env, npm_execpath: join(repository, 'npm/npm-cli.js') };
  const { stderr } = await promisify(execFile)(process.execPath, [join(repository, 'scripts/setup.mjs')], { env });
  return { asked: await readFile(log, 'utf8').catch(() => ''), said: stderr };
}

const locked = (packages: Record<string, object>) => ({ packages: { '': { name: 'x' }, ...packages } });

beforeEach(async () => {
  repository = await mkdtemp(join(tmpdir(), 'ociregistry-setup-'));
  await write('scripts/setup.mjs', await readFile(script, 'utf8'));
  await write('package.json', { type: 'module' });
  await write('.swcrc', {});
  await write('npm/package.json', { type: 'commonjs' });
  await write('package-lock.json', locked({ 'node_modules/a': { version: '1.0.0' } }));
  await write('node_modules/.package-lock.json', locked({ 'node_modules/a': { version: '1.0.0' } }));
  await write('apps/cli/main.ts', '');
  await write('libs/oci/index.ts', '');
  await write('dist/apps/cli/main.js', '', 2_000);
  await write('dist/libs/oci/index.js', '', 2_000);
  await settle('apps', 'apps/cli', 'libs', 'libs/oci');
});

afterEach(() => rm(repository, { recursive: true, force: true }));

it('says and does nothing when all is in place', async () => {
  expect(await setup()).toEqual({ asked: '', said: '' });
});

it('installs on a bare clone, then builds', async () => {
  await rm(join(repository, 'node_modules'), { recursive: true });
  await rm(join(repository, 'dist'), { recursive: true });
  expect((await setup()).asked).toMatch(/^ci .*\nrun build .*\n$/);
});

it('installs when the lock asks for another version', async () => {
  await write('package-lock.json', locked({ 'node_modules/a': { version: '1.0.1' } }));
  expect((await setup()).asked).toMatch(/^ci /);
});

it('installs when the lock asks for one more package, unless it is optional', async () => {
  const a = { version: '1.0.0' };
  await write('package-lock.json', locked({ 'node_modules/a': a, 'node_modules/b': { ...a, optional: true } }));
  expect((await setup()).asked).toBe('');
  await write('package-lock.json', locked({ 'node_modules/a': a, 'node_modules/b': a }));
  expect((await setup()).asked).toMatch(/^ci /);
});

it.each(['apps/cli/main.ts', 'libs/oci/index.ts', 'apps/admin/web/page.tsx', 'package.json', '.swcrc'])(
  'builds when %s is newer than the oldest compiled file',
  async (path) => {
    await write('dist/apps/cli/main.js', '', 4_000);
    await write(path, path.endsWith('json') ? { type: 'module' } : '{}', 3_000);
    expect((await setup()).asked).toMatch(/^run build /);
  },
);

it('builds when a source is gone', async () => {
  await write('libs/oci/gone.ts', '');
  await settle('libs/oci');
  await rm(join(repository, 'libs/oci/gone.ts'));
  expect((await setup()).asked).toMatch(/^run build /);
});

it('fails when npm does', async () => {
  await rm(join(repository, 'node_modules'), { recursive: true });
  await expect(setup(1)).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining('npm ci failed') });
});
