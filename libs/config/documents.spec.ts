import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { jsonSchema, describe as keyTable } from './index.js';
import { KEYS } from './keys.js';

const ROOT = join(__dirname, '../..');
const SCHEMA = join(ROOT, 'deploy/config/ociregistry.schema.json');
const PAGE = join(ROOT, 'docs/configuration.md');
const TABLE = /(?<=<!-- keys: written by libs\/config\/documents.spec.ts -->\n)[\s\S]*(?=\n<!-- end of keys -->)/;

/** With UPDATE=1 the committed files are written, else they must be what the schema says. */
function update(file: string, text: string): void {
  if (process.env.UPDATE !== '1') return;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}

it('the committed JSON schema is the one of the code (UPDATE=1 writes it)', () => {
  update(SCHEMA, `${JSON.stringify(jsonSchema(), null, 2)}\n`);
  // Read again, since the formatter may break lines elsewhere.
  expect(JSON.parse(readFileSync(SCHEMA, 'utf8'))).toEqual(jsonSchema());
});

it('docs/configuration.md has the keys of the code (UPDATE=1 writes them)', () => {
  const page = readFileSync(PAGE, 'utf8');
  expect(page).toMatch(TABLE);
  const current = page.replace(TABLE, () => keyTable());
  update(PAGE, current);
  expect(readFileSync(PAGE, 'utf8')).toBe(current);
});

it('every key is described', () => {
  expect([...KEYS.values()].filter((key) => key.description === '').map((key) => key.path)).toEqual([]);
});
