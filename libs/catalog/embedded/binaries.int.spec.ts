import { execFileSync } from 'node:child_process';
import { cpSync, lstatSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { copyBinaries, findBinaries } from './binaries.js';

describe('the programs of PostgreSQL', () => {
  let base: string;
  beforeEach(() => {
    base = mkdtempSync(join(tmpdir(), 'binaries-'));
  });
  afterEach(() => rmSync(base, { recursive: true, force: true }));

  const links = (directory: string) =>
    readdirSync(join(directory, 'lib')).filter((name) => lstatSync(join(directory, 'lib', name)).isSymbolicLink());

  it('are found, copied once, and run from the copy', async () => {
    const found = findBinaries();
    expect(found.complete).toBe(true);
    const copies = await Promise.all([copyBinaries(found, base), copyBinaries(found, base)]);
    expect(copies[0]).toBe(copies[1]);
    expect(readdirSync(base)).toHaveLength(1);
    expect(links(copies[0] as string)).toEqual(links(found.directory));
    expect(execFileSync(join(copies[0] as string, 'bin/postgres'), ['--version'], { encoding: 'utf8' })).toMatch(
      /^postgres/,
    );
  });

  it('get the links in the copy that an install without scripts left out', async () => {
    const found = findBinaries();
    const bare = join(base, 'bare');
    cpSync(found.directory, bare, { recursive: true, verbatimSymlinks: true });
    for (const name of links(bare)) rmSync(join(bare, 'lib', name));
    const copy = await copyBinaries({ directory: bare, version: '0', complete: false }, join(base, 'copies'));
    expect(links(copy)).toEqual(links(found.directory));
    expect(execFileSync(join(copy, 'bin/initdb'), ['--version'], { encoding: 'utf8' })).toMatch(/^initdb/);
  });
});
