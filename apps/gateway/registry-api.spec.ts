import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FAILURES } from '#oci';
import { readApiDocument } from '../../test/support/api-document.js';

const ROOT = join(__dirname, '../..');
const FILE = join(__dirname, 'registry-api.ts');

describe('docs/api/registry.yaml', () => {
  const { openapi, info, components } = readApiDocument();

  it('is what the types of our bodies are made from (UPDATE=1 writes them)', () => {
    const directory = mkdtempSync(join(tmpdir(), 'registry-api-'));
    try {
      const bodies = { openapi, info, paths: {}, components: { schemas: components.schemas } };
      writeFileSync(join(directory, 'bodies.json'), JSON.stringify(bodies));
      const program = join(ROOT, 'node_modules/openapi-typescript/bin/cli.js');
      const args = [program, join(directory, 'bodies.json'), '--immutable', '--output', join(directory, 'bodies.ts')];
      execFileSync(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
      const text = readFileSync(join(directory, 'bodies.ts'), 'utf8');
      if (process.env.UPDATE === '1') writeFileSync(FILE, text);
      expect(readFileSync(FILE, 'utf8')).toBe(text);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('knows every code that a failure has', () => {
    const codes = new Set(Object.values(FAILURES).map(({ code }) => code));
    expect((components.schemas.ErrorCode as { enum: string[] }).enum).toEqual([...codes].sort());
  });
});
